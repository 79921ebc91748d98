"""One quota for many processes: what they share, and where it is kept.

    words       what a process tells the quota, and what it answers
    books       who holds what, who spent what, and who gets what becomes free; pure
    file        the processes of one host: a row of SQLite
    redis       machines: one script in Redis
"""

from deluge.quota.file import FileQuota
from deluge.quota.opening import open_quota
from deluge.quota.redis import RedisQuota
from deluge.quota.words import Answer, Quota, QuotaUnavailable, Report

__all__ = ["Answer", "FileQuota", "Quota", "QuotaUnavailable", "RedisQuota", "Report", "open_quota"]
