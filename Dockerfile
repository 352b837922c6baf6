# One image for every daemon. docker build -t etp . && docker run --rm etp --help
FROM python:3.11-slim

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/srv/etp PYTHONUNBUFFERED=1

# Before the code, so that a change of it installs nothing anew.
COPY requirements/run.lock /srv/etp/requirements/run.lock
RUN pip install --require-hashes -r /srv/etp/requirements/run.lock

# Who may not write the code keeps the journal, and nothing else.
RUN useradd --system --user-group --uid 10001 --home-dir /var/lib/etp etp \
    && install -d -o etp -g etp -m 700 /var/lib/etp \
    && printf '#!/bin/sh\nexec python -m cli.main "$@"\n' > /usr/local/bin/etp \
    && chmod 755 /usr/local/bin/etp

# What .dockerignore lets through.
COPY . /srv/etp

USER etp
WORKDIR /var/lib/etp
VOLUME /var/lib/etp
ENTRYPOINT ["etp"]
CMD ["--help"]
