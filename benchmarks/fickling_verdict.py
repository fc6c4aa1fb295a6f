"""Say what fickling thinks of a file; run by the interpreter that has fickling.

Its command line reads bare pickles only; its functions read zip archives too, so those
are asked. Prints ``safe``, ``flagged``, ``error`` or ``nothing to read``.
"""

import sys
from pathlib import Path

from fickling.analysis import Severity
from fickling.loader import scan_file, scan_zip_archive

path = sys.argv[1]
with Path(path).open("rb") as file:
    is_zip = file.read(4) == b"PK\x03\x04"
if is_zip:
    scans = list(scan_zip_archive(path, graceful=True).values())
else:
    scans = [scan_file(path, graceful=True)]
if any(r.severity > Severity.LIKELY_SAFE for scan in scans for r in scan.results):
    print("flagged")
elif any(scan.errors for scan in scans):
    print("error")
else:
    print("safe" if scans else "nothing to read")
