"""The market of the signed benches: keys that the generator's process and the battery's both know, in a registry."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from benches.child import DEVICE
from benches.job import FIRST_DEVICE
from etp.codes import Role
from etp.keys import KeyPair, key_to_json
from etp.registry import Member, Network, Registry
from etp.units import DeviceId
from runtime.io.registry_file import save_registry

NETWORK: Final = Network("bench")


@cache
def pair(device_id: int) -> KeyPair:
    """The key of a device of the benches: no secret."""
    return KeyPair(sha256(f"bench {device_id}".encode()).digest())


def signed_options(directory: Path, buyers: int) -> tuple[str, ...]:
    """Options of a battery that speaks `signed` with so many buyers; writes its key and the registry."""
    registry, key = directory / "registry.toml", directory / "key.json"
    members = [Member(DeviceId(DEVICE), Role.BESS, pair(DEVICE).public)]
    ids = range(FIRST_DEVICE, FIRST_DEVICE + buyers)
    members += [Member(DeviceId(device_id), Role.AGGREGATOR, pair(device_id).public) for device_id in ids]
    save_registry(registry, Registry(NETWORK, members))
    key.touch(mode=0o600)
    key.write_text(key_to_json(pair(DEVICE)))
    return "--profile", "signed", "--registry", str(registry), "--key", str(key)
