"""A day with heroku3, the Python library, unmodified: day.py URL TOKEN APP, which has been pushed to."""

import sys
import time

import heroku3

URL, TOKEN, APP = sys.argv[1:]


def until(what, holds):
    """Waits until something holds."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    sys.exit(f"it never came about that {what}")


def states(app):
    return sorted((dyno.name, dyno.state) for dyno in app.dynos() if dyno.type == "web")


node = heroku3.api.Heroku()
# The library has no words for another place.
node._heroku_url = URL
assert not node.authenticate("wrong")
assert node.authenticate(TOKEN)
print("account", node.account().email, node.rate_limit.remaining)
assert node.account().email == "admin@localhost"
assert node.ratelimit_remaining() > 0

app = node.app(APP)
assert app.name == APP and app.owner.email == "admin@localhost" and app.stack.name == "cedar-13"
assert [APP] == [one.name for one in node.apps()]
assert node.apps()[APP].id == app.id
print("app", app.web_url)

made = node.create_app(name="made-by-library", stack_id_or_name="cedar-13", region_id_or_name="us")
assert made.name == "made-by-library"
assert {one.name for one in node.apps(order_by="name", limit=10)} == {APP, "made-by-library"}
try:
    node.create_app(name="made-by-library", stack_id_or_name="cedar-13", region_id_or_name="us")
    sys.exit("a name was taken twice")
except Exception as error:
    assert "taken" in str(error), error
renamed = made.rename("renamed")
assert renamed.id == made.id
assert renamed.delete()
assert "renamed" not in node.apps()

config = app.config()
config["GREETING"] = "hello"
assert config["GREETING"] == "hello" and app.config()["GREETING"] == "hello"
config.update({"GREETING": "good day", "OTHER": "1"})
del config["OTHER"]
assert "OTHER" not in app.config() and app.config()["GREETING"] == "good day"

releases = app.releases()
versions = [release.version for release in releases]
assert versions == sorted(versions) and len(versions) >= 4, versions
newest = app.releases(order_by="version", limit=2, sort="desc")
assert [release.version for release in newest] == [versions[-1], versions[-2]]
assert newest[0].description == "Remove OTHER config vars", newest[0].description
slugged = [release for release in releases if release.slug]
assert app.slug(slugged[0].slug.id).id == slugged[0].slug.id
rolled = app.rollback(releases[-2].id)
assert rolled.description == f"Rollback to v{releases[-2].version}", rolled.description
assert app.config()["OTHER"] == "1"

until("web.1 is up", lambda: states(app) == [("web.1", "up")])
app.process_formation()["web"].scale(2)
until("two are up", lambda: states(app) == [("web.1", "up"), ("web.2", "up")])
app.batch_scale_formation_processes({"web": 1})
until("one is up", lambda: states(app) == [("web.1", "up")])
app.scale_formation_process("web", 1)
app.resize_formation_process("web", "standard-2x")
until("it is larger", lambda: [dyno.size for dyno in app.dynos() if dyno.state == "up"] == ["Standard-2X"])
before = {dyno.id for dyno in app.dynos()}
app.restart()
until("it is another", lambda: all(dyno.id not in before for dyno in app.dynos()) and states(app) == [("web.1", "up")])
assert app.kill_dyno("web.1")

said = app.run_command_detached("echo said by $DYNO", size="standard-1x", env={"A": "b"})
assert said.name.startswith("run."), said.name
until("its line is in the log", lambda: f"app[{said.name}]: said by {said.name}" in app.get_log(lines=100))
stream = app.stream_log(lines=5, timeout=20)
assert next(iter(stream))

assert app.enable_maintenance_mode().maintenance is True
assert app.disable_maintenance_mode().maintenance is False

domain = app.add_domain("www.example.com", None)
assert domain.kind == "custom" and domain.hostname == "www.example.com"
assert app.get_domain("www.example.com").id == domain.id
assert {one.kind for one in app.domains()} == {"custom", "heroku"}
assert app.remove_domain("www.example.com")

drain = app.create_logdrain("syslog+tls://logs.example.com:6514")
assert [one.id for one in app.logdrains()] == [drain.id]
assert app.remove_logdrain(drain.id)

assert len(app.collaborators()) == 1
feature = app.features()[0]
assert app.enable_feature(feature.name).enabled is True
assert app.disable_feature(feature.name).enabled is False
assert app.update_buildpacks(["heroku/python"])
assert app.buildpacks()[0].buildpack.url.endswith("heroku/python")
assert app.update_buildpacks([])
assert len(node.keys()) == 1
assert list(node.oauthauthorizations()) is not None
assert app.delete()
print("done")
