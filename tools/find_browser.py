"""Find a Chromium or Chrome for the tests of the site, and install Debian's where that is allowed.

python tools/find_browser.py     print its path; 1 if there is none
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser(install: bool = False) -> str | None:
    """Return the path of a browser, or None.

    Args:
        install: whether to install Debian's chromium if there is no browser. It is tried only by root on a
            system with apt-get.
    """
    if found := next((path for name in NAMES if (path := shutil.which(name))), None):
        return found
    if install and may_install():
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "chromium"]):
            subprocess.run(
                command,
                check=False,
                capture_output=True,
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            )
        return find_browser()
    return None


def may_install() -> bool:
    """Return whether this user may install a package of the system without being asked."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


if __name__ == "__main__":
    browser = find_browser(install=True)
    print(browser or "No Chromium or Chrome here: the tests of the site are left out.")
    sys.exit(browser is None)
