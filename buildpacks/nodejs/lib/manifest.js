// manifest.js BUILD_DIR QUESTION [ARGUMENT]: answers one question about the package.json of an app, on stdout; `facts` answers
// those at once that a build asks whatever the app, as words for a shell's associative array.
//
// A manifest that cannot be used ends it with status 1 and the reason on stderr.
'use strict';

const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');

const [buildDir, question, argument] = process.argv.slice(2);

function refuse(reason) {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
}

function readManifest() {
  let manifest;
  try {
    manifest = JSON.parse(fs.readFileSync(path.join(buildDir, 'package.json'), 'utf8').replace(/^\uFEFF/, ''));
  } catch (error) {
    refuse(error.message);
  }
  if (manifest === null || typeof manifest !== 'object' || Array.isArray(manifest)) {
    refuse('package.json must hold a JSON object');
  }
  return manifest;
}

const manifest = readManifest();

// A section of the manifest, empty when it is missing or of another kind.
function section(name) {
  const value = manifest[name];
  return value !== null && typeof value === 'object' ? value : {};
}

// The rules of ranges are npm's: its own library is used, wherever this npm keeps it.
function semver(npm) {
  return createRequire(fs.realpathSync(npm))('semver');
}

// The command of the default web process: `npm start`, else the main file, else nothing.
function startCommand() {
  if (typeof section('scripts').start === 'string') return 'npm start';
  const main = typeof manifest.main === 'string' ? manifest.main : 'index.js';
  for (const file of [main, `${main}.js`, path.join(main, 'index.js'), 'server.js']) {
    // Only what needs no quoting in a shell or in YAML; for anything else the user writes a Procfile.
    const plain = /^[A-Za-z0-9_.\/][A-Za-z0-9_.\/@+-]*$/.test(file);
    const whole = path.join(buildDir, file);
    if (plain && fs.existsSync(whole) && fs.statSync(whole).isFile()) return `node ${file}`;
  }
  return '';
}

// What a build asks, each with its argument; starting a program for each would take longer than the answers.
const FACTS = [
  'engine-range',
  'engine-fits',
  'npm-version',
  'package-manager',
  'engine-of yarn',
  'engine-of pnpm',
  'has-script heroku-prebuild',
  'has-script heroku-postbuild',
  'has-script build',
  'has-script heroku-cleanup',
  'has-dev-dependencies',
];

const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

// The answers to FACTS; the argument is the path of npm.
function facts() {
  return FACTS.map((fact) => {
    const [name, about] = fact.split(' ');
    return `[${quoted(fact)}]=${quoted(answers[name](about ?? argument))}`;
  }).join(' ');
}

const answers = {
  facts,
  'start-command': startCommand,
  'engine-range': () => (typeof section('engines').node === 'string' ? section('engines').node.trim() : ''),
  // `yes`, `no`, or `invalid` when engines.node is no range; the argument is the path of npm.
  'engine-fits': (npm) => {
    const range = section('engines').node;
    if (range === undefined || range === '') return 'yes';
    const rules = semver(npm);
    if (typeof range !== 'string' || rules.validRange(range) === null) return 'invalid';
    return rules.satisfies(process.versions.node, range) ? 'yes' : 'no';
  },
  // The newest version that engines.node accepts of those in the JSON list on stdin; nothing if there is none.
  'engine-pick': () => {
    const rules = semver(argument);
    const stable = JSON.parse(fs.readFileSync(0, 'utf8')).filter((version) => !version.includes('-'));
    return rules.maxSatisfying(stable, section('engines').node) ?? '';
  },
  // `yarn 4.5.0`: the package manager and the version that packageManager asks for, without its digest.
  'package-manager': () => {
    const wanted = /^(npm|yarn|pnpm)@([0-9][^+ ]*)/.exec(String(manifest.packageManager ?? ''));
    return wanted ? `${wanted[1]} ${wanted[2]}` : '';
  },
  // Of the npm in the argument.
  'npm-version': (npm) => createRequire(fs.realpathSync(npm))('../package.json').version,
  // The range that engines asks for of the package manager in the argument.
  'engine-of': (manager) => (typeof section('engines')[manager] === 'string' ? section('engines')[manager].trim() : ''),
  'has-script': (script) => (typeof section('scripts')[script] === 'string' ? 'yes' : 'no'),
  'has-dev-dependencies': () => (Object.keys(section('devDependencies')).length > 0 ? 'yes' : 'no'),
};

if (!Object.hasOwn(answers, question)) refuse(`unknown question: ${question}`);
process.stdout.write(`${answers[question](argument)}\n`);
