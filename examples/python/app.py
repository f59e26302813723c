"""A small web app: a greeting from the dyno that answers."""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    greeting = os.environ.get("GREETING", "Hello")
    return f"{greeting} from Python, on dyno {os.environ.get('DYNO', 'local')}\n"
