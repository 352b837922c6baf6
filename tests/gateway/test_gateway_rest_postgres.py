"""PostgreSQL answers as SQLite does: every list, filter, order, page and sum."""

from pathlib import Path

from sqlalchemy.ext.asyncio import create_async_engine

from benches.postgres import PostgresServer
from tests.gateway import story
from tests.gateway.story import BUYER, LAST_SELLER, SELLER, T

HOURS = f"from_us={story.HOUR}&to_us={story.HOUR + 30 * story.HOUR_US}"
PATHS = [
    "/overview",
    "/batteries",
    "/aggregators?limit=1",
    f"/batteries/{LAST_SELLER}",
    f"/batteries/{SELLER}/samples?limit=4&from_us={T + 1}",
    "/lots?limit=7&state=reserved&mechanism=english",
    f"/lots/{SELLER}/1000",
    "/trades?limit=7",
    f"/trades?battery={LAST_SELLER}",
    f"/trades?aggregator={BUYER}&min_micro_per_kwh=152000&limit=3",
    "/trades?settlement=none",
    "/trades?delivery=short&format=csv",
    f"/trades/{LAST_SELLER}/1001",
    "/settlements?state=disputed",
    "/events?type=SecurityEvent&limit=5",
    f"/events?node={LAST_SELLER}&type=SecurityEvent",
    *(
        f"/statistics?by={by}{rest}"
        for by in ("all", "hour", "hour_of_day", "battery", "aggregator", "bidders")
        for rest in ("", f"&battery={LAST_SELLER}", f"&aggregator={BUYER}", f"&{HOURS}")
    ),
]


async def test_both_answer_alike(tmp_path: Path, postgres: PostgresServer) -> None:
    """The same bytes, and the same next page behind the same cursor."""
    engine = create_async_engine(postgres.database())
    await story.fill(engine)
    found: list[list[str]] = []
    async with story.store(tmp_path) as other:
        for each in (other, engine):
            async with story.client_of(each) as client:
                answers = []
                for path in PATHS:
                    answer = await client.get(path)
                    assert answer.status_code == 200, (path, answer.text)
                    answers.append(answer.text)
                    following = answer.json().get("next_cursor") if "csv" not in path else None
                    if following:
                        answers.append((await client.get(f"{path}&cursor={following}")).text)
                found.append(answers)
    await engine.dispose()
    assert found[0] == found[1]
