"""Reads the JUnit file that `ctest --output-junit` wrote: names what was skipped and what failed, and ends with the line
"N passed, N failed, N skipped".

usage: count_tests.py FILE"""

import sys
import xml.etree.ElementTree as tree

cases = tree.parse(sys.argv[1]).getroot().findall("testcase")
failed = [c for c in cases if c.get("status") == "fail" or c.find("failure") is not None]
skipped = [c for c in cases if c.get("status") in ("notrun", "disabled", "skipped") or c.find("skipped") is not None]
skipped = [c for c in skipped if c not in failed]
for case in skipped:
    print("skipped:", case.get("name"))
for case in failed:
    print("FAILED:", case.get("name"))
print(f"{len(cases) - len(failed) - len(skipped)} passed, {len(failed)} failed, {len(skipped)} skipped")
