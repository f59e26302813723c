"""poetry.py: turns poetry.lock of the current directory into requirements with hashes for pip, on stdout.

Poetry itself asks an interface that not every package index has; pip asks the one that all have. Ends with status 1 and
the reason on stderr if the files cannot be read, 2 if they do not fit each other, 3 if the lock file needs Poetry.
"""

import re
import sys
import tomllib


def end(status, reason):
    print(reason, file=sys.stderr)
    sys.exit(status)


def read(name):
    try:
        with open(name, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        end(1, f"{name}: {error}")


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(project):
    """The names of what the app depends on, outside groups and extras."""
    listed = project.get("project", {}).get("dependencies", [])
    names = {normal(match[0]) for one in listed if (match := re.match(r"[A-Za-z0-9._-]+", one))}
    older = project.get("tool", {}).get("poetry", {}).get("dependencies", {})
    wanted = {name for name, rule in older.items() if not (isinstance(rule, dict) and rule.get("optional"))}
    return names | {normal(name) for name in wanted if name != "python"}


def marker_of(package):
    """Poetry writes one for all groups, or a table with one for each."""
    marker = package.get("markers", "")
    return marker.get("main", "") if isinstance(marker, dict) else marker


def requirement(package):
    if package.get("source", {}).get("type") not in (None, "legacy"):
        end(3, f"{package['name']} comes from {package['source']['type']}")
    marker = marker_of(package)
    hashes = "".join(f" --hash={file['hash']}" for file in package["files"])
    return f"{package['name']}=={package['version']}" + (f" ; {marker}" if marker else "") + hashes


def main():
    project, lock = read("pyproject.toml"), read("poetry.lock")
    packages = lock.get("package", [])
    if any("groups" not in package or "files" not in package for package in packages):
        end(3, "the lock file is of an older form")
    missing = asked(project) - {normal(package["name"]) for package in packages}
    if missing:
        end(2, f"pyproject.toml asks for {', '.join(sorted(missing))}, which poetry.lock does not have")
    wanted = [one for one in packages if "main" in one["groups"] and not one.get("optional")]
    print("\n".join(requirement(package) for package in wanted))


main()
