"""Settings of the Bugsink that stands in for Sentry in the demo and the tests.

One process, SQLite, events digested within the request, nothing sent anywhere:
what is relayed to it can be looked at a moment later. Not for use beyond that.
"""

import os

from bugsink.conf_utils import deduce_allowed_hosts
from bugsink.settings.default import *  # noqa: F403

_dir = os.environ["BUGSINK_DIR"]

SECRET_KEY = os.environ["BUGSINK_SECRET"]
DATABASES["default"]["NAME"] = _dir + "/db.sqlite3"  # noqa: F405
DATABASES["snappea"]["NAME"] = _dir + "/snappea.sqlite3"  # noqa: F405
SNAPPEA = {
    "TASK_ALWAYS_EAGER": True,  # no second process
    "NUM_WORKERS": 1,
    "WAKEUP_CALLS_DIR": _dir + "/wakeup",
    "PID_FILE": None,
    "STATS_RETENTION_MINUTES": 60,
}
BUGSINK = {
    "BASE_URL": os.environ["BUGSINK_URL"],
    "SITE_TITLE": "Bugsink",
    "SINGLE_USER": True,
    "SINGLE_TEAM": True,
    "DIGEST_IMMEDIATELY": True,
    "INGEST_STORE_BASE_DIR": _dir + "/ingestion",
    "PHONEHOME": False,
    "MAX_EVENTS_PER_PROJECT_PER_5_MINUTES": 100_000,
    "MAX_EVENTS_PER_PROJECT_PER_HOUR": 1_000_000,
}
ALLOWED_HOSTS = deduce_allowed_hosts(BUGSINK["BASE_URL"])
SESSION_COOKIE_SECURE = False
CSRF_COOKIE_SECURE = False
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
