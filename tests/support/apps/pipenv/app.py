"""A page of Flask, whose packages Pipenv has locked."""

import importlib.metadata
import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def greet():
    return f"Hello from Flask {importlib.metadata.version('flask')}!\n"


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ["PORT"]))
