"""config.py APP CONF: writes the configuration of nginx that static.json asks for; prints what is served.

Ends with status 1 and the reason on stderr if static.json cannot be used.
"""

import json
import os
import re
import sys

TYPES = {
    "root": str,
    "clean_urls": bool,
    "https_only": bool,
    "error_page": str,
    "routes": dict,
    "redirects": dict,
    "headers": dict,
}


def refuse(reason):
    sys.exit(reason)


def text(value, what):
    """A value that means nothing to nginx but itself."""
    if not isinstance(value, str) or not value or re.search(r'[\x00-\x1f"\\$;{}]', value):
        refuse(f"{what} must be a text without quotes, backslashes, braces, semicolons and dollar signs: {value!r}")
    return value


def settings(app):
    path = os.path.join(app, "static.json")
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8-sig") as file:
            found = json.load(file)
    except (ValueError, OSError) as error:
        refuse(str(error))
    if not isinstance(found, dict):
        refuse("it must hold a JSON object")
    for key, value in found.items():
        if key not in TYPES:
            refuse(f"it has no setting `{key}`; there are {', '.join(TYPES)}")
        if not isinstance(value, TYPES[key]):
            refuse(f"`{key}` must be a {TYPES[key].__name__}")
    return found


def served(app, wanted):
    if wanted is None:
        candidates = ["."] if os.path.isfile(os.path.join(app, "index.html")) else ["public_html", "dist", "public", "build"]
        for candidate in candidates:
            if os.path.isdir(os.path.join(app, candidate)):
                return candidate
        refuse("`root` must name the directory of the files: there is neither an index.html nor a public_html")
    root = os.path.normpath(text(wanted, "`root`").strip("/") or ".")
    if root.startswith("..") or not os.path.isdir(os.path.join(app, root)):
        refuse(f"`root` names no directory of the app: {wanted}")
    return root


def pattern(glob):
    """`/a/*` covers one level, `/a/**` all below."""
    parts = re.split(r"(\*\*|\*)", text(glob, "a path"))
    turned = {"**": ".*", "*": "[^/]*"}
    return "^" + "".join(turned.get(part, re.escape(part).replace("/", "/")) for part in parts) + "$"


def locations(found, root):
    tries = ["$uri", "$uri.html", "$uri/"] if found.get("clean_urls") else ["$uri", "$uri/"]
    lines = ["    location / {", f"        try_files {' '.join(tries)} @rest;", "    }", "    location @rest {"]
    for glob, target in found.get("routes", {}).items():
        target = "/" + text(target, f"the target of the route {glob}").lstrip("/")
        lines.append(f'        if ($uri ~ "{pattern(glob)}") {{ rewrite ^ "{target}" last; }}')
    lines += ["        return 404;", "    }"]
    # What configures the app is not part of the site.
    lines += ["    location ~ /\\. { deny all; return 404; }"]
    if root == ".":
        lines += ["    location ~ ^/(static\\.json|Procfile|app\\.json)$ { return 404; }"]
    return lines


def extras(found):
    lines = []
    if found.get("https_only"):
        lines.append('    if ($http_x_forwarded_proto = "http") { return 301 https://$host$request_uri; }')
    for glob, redirect in found.get("redirects", {}).items():
        redirect = {"url": redirect} if isinstance(redirect, str) else redirect
        if not isinstance(redirect, dict):
            refuse(f"the redirect of {glob} must be a text or an object with `url` and `status`")
        status = redirect.get("status", 301)
        if status not in (301, 302, 303, 307, 308):
            refuse(f"the redirect of {glob} has no status of a redirect: {status}")
        lines.append(f'    if ($uri ~ "{pattern(glob)}") {{ return {status} "{text(redirect.get("url"), "a `url`")}"; }}')
    if "error_page" in found:
        page = "/" + text(found["error_page"], "`error_page`").lstrip("/")
        lines.append(f'    error_page 404 "{page}";')
    return lines


def headers(found):
    """For each name a map from paths to values: a header without a value is not sent."""
    maps, adds, names = [], [], {}
    for glob, wanted in found.get("headers", {}).items():
        if not isinstance(wanted, dict):
            refuse(f"the headers of {glob} must be an object")
        for name, value in wanted.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", name):
                refuse(f"`{name}` is no name of a header")
            names.setdefault(name, []).append((pattern(glob), text(value, f"the header {name}")))
    for number, (name, rules) in enumerate(names.items()):
        maps += [f"    map $uri $header_{number} {{", '        default "";']
        maps += [f'        "~{path}" "{value}";' for path, value in rules] + ["    }"]
        adds.append(f"    add_header {name} $header_{number} always;")
    return maps, adds


HEAD = """worker_processes 1;
daemon off;
pid @PLACE@/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    charset utf-8;
    access_log off;
    sendfile on;
    server_tokens off;
    absolute_redirect off;
    gzip on;
    gzip_proxied any;
    gzip_types text/css text/plain application/javascript application/json image/svg+xml text/xml application/xml;
    client_body_temp_path @PLACE@/body;
    proxy_temp_path @PLACE@/proxy;
    fastcgi_temp_path @PLACE@/fastcgi;
    uwsgi_temp_path @PLACE@/uwsgi;
    scgi_temp_path @PLACE@/scgi;
"""


def main(app, target):
    found = settings(app)
    root = served(app, found.get("root"))
    maps, adds = headers(found)
    server = ["    server {", "    listen @PORT@;", f'    root "@APP@/{root}";', "    index index.html;"]
    lines = maps + server + adds + extras(found) + locations(found, root) + ["    }", "}"]
    with open(target, "w", encoding="utf-8") as file:
        file.write(HEAD + "\n".join(lines) + "\n")
    print("the files of the app" if root == "." else f"the files in {root}")


main(*sys.argv[1:])
