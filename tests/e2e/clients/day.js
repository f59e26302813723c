// A day with heroku-client, the library for Node.js, unmodified: day.js URL TOKEN APP, which has been pushed to.
'use strict'
const assert = require('assert')
const Heroku = require('heroku-client')

const [url, token, app] = process.argv.slice(2)
const node = new Heroku({ token, host: url })
const pause = () => new Promise(resolve => setTimeout(resolve, 100))

async function until (what, holds) {
  for (let i = 0; i < 600; i++) {
    if (await holds()) return
    await pause()
  }
  throw new Error(`it never came about that ${what}`)
}

async function refused (status, id, asked) {
  try {
    await asked
  } catch (error) {
    assert.strictEqual(error.statusCode, status)
    assert.strictEqual(error.body.id, id)
    return
  }
  throw new Error(`nobody refused with ${id}`)
}

async function states () {
  const dynos = await node.get(`/apps/${app}/dynos`)
  return dynos.filter(dyno => dyno.type === 'web').map(dyno => `${dyno.name} ${dyno.state}`).sort().join()
}

async function day () {
  assert.strictEqual((await node.get('/account')).email, 'admin@localhost')
  await refused(401, 'unauthorized', new Heroku({ token: 'wrong', host: url }).get('/account'))
  await refused(404, 'not_found', node.get('/apps/there-is-none'))
  await refused(404, 'not_found', node.get('/there-is-no-such-route'))

  const made = await node.post('/apps', { body: { name: 'made-by-library' } })
  await refused(422, 'invalid_params', node.post('/apps', { body: { name: 'made-by-library' } }))
  assert.deepStrictEqual((await node.get('/apps')).map(one => one.name).sort(), [app, 'made-by-library'].sort())
  assert.strictEqual((await node.patch(`/apps/${made.id}`, { body: { name: 'renamed' } })).name, 'renamed')
  assert.strictEqual((await node.delete('/apps/renamed')).id, made.id)

  // A list that takes many pages is put together by the library.
  for (let i = 0; i < 12; i++) await node.patch(`/apps/${app}/config-vars`, { body: { COUNT: String(i) } })
  const releases = await node.request({ path: `/apps/${app}/releases`, headers: { Range: 'version ..; max=5' } })
  assert.deepStrictEqual(releases.map(one => one.version), releases.map((_, i) => i + 1))
  assert(releases.length >= 14, `${releases.length} releases`)
  const config = await node.patch(`/apps/${app}/config-vars`, { body: { COUNT: null, GREETING: 'hello' } })
  assert(!('COUNT' in config) && config.GREETING === 'hello')

  await until('web.1 is up', async () => await states() === 'web.1 up')
  const scaled = await node.patch(`/apps/${app}/formation`, { body: { updates: [{ type: 'web', quantity: '+1' }] } })
  assert.strictEqual(scaled.find(one => one.type === 'web').quantity, 2)
  await until('two are up', async () => await states() === 'web.1 up,web.2 up')
  await node.patch(`/apps/${app}/formation/web`, { body: { quantity: 1 } })
  await until('one is left', async () => await states() === 'web.1 up')
  await node.delete(`/apps/${app}/dynos`)

  const run = await node.post(`/apps/${app}/dynos`, { body: { command: 'echo said by $DYNO', attach: false } })
  assert.strictEqual(run.type, 'run')
  const session = await node.post(`/apps/${app}/log-sessions`, { body: { lines: 10 } })
  assert(/^https?:\/\/localhost:/.test(session.logplex_url), session.logplex_url)

  const rolled = await node.post(`/apps/${app}/releases`, { body: { release: releases[2].id } })
  assert.strictEqual(rolled.description, 'Rollback to v3')
  const key = (await node.get('/account/keys'))[0]
  assert.strictEqual((await node.get(`/account/keys/${key.id}`)).fingerprint, key.fingerprint)
  const authorization = await node.post('/oauth/authorizations', { body: { description: 'for a while', expires_in: 60 } })
  const other = new Heroku({ token: authorization.access_token.token, host: url })
  assert.strictEqual((await other.get('/account')).email, 'admin@localhost')
  await node.delete(`/oauth/authorizations/${authorization.id}`)
  await refused(401, 'unauthorized', other.get('/account'))

  const domain = await node.post(`/apps/${app}/domains`, { body: { hostname: 'www.example.com', sni_endpoint: null } })
  assert.strictEqual(domain.kind, 'custom')
  await node.delete(`/apps/${app}/domains/www.example.com`)
  for (const path of ['/stacks', '/regions', '/dyno-sizes', `/apps/${app}/features`, `/apps/${app}/builds`]) {
    assert((await node.get(path)).length > 0, path)
  }
  await node.delete(`/apps/${app}`)
  await refused(404, 'not_found', node.get(`/apps/${app}`))
  console.log('done')
}

day().catch(error => {
  console.error(error.body || error)
  process.exit(1)
})
