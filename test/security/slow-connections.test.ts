// Two thousand connections send half a request and fall silent: a valid callback is served all the same. All on
// loopback, from a client in this test, which closes them again.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { anAskedConsent, startWeb, theCallback, type Web } from '../http/web.ts'
import { startWorld, type World } from '../setup/world.ts'

const CONNECTIONS = 2_000
/** Both ends of each connection are in this process; the rest is for the database and other open files. */
const FILES_NEEDED = CONNECTIONS * 2 + 500
/** Half requests of each kind: no line, no end of the headers, no end of the body. */
const halves = [
  '',
  'GET /callback?st',
  'GET /callback?state=a&code=b HTTP/1.1\r\nhost: x\r\nx-slow: ',
  'POST /callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: ' +
    '500\r\n\r\nstate=',
]

let world: World
let web: Web
beforeAll(async () => {
  world = await startWorld()
  web = await startWeb(world)
})
afterAll(async () => {
  await web.close()
  await world.close()
})

/**
 * The number of files that this process may open. Node has raised it to the system's limit, which a test must not
 * exceed.
 */
const openFilesAllowed = (): number => {
  const { userLimits } = process.report.getReport() as unknown as {
    userLimits?: { open_files?: { soft: number | string } }
  }
  const soft = userLimits?.open_files?.soft
  return soft === 'unlimited' || soft === undefined ? Number.POSITIVE_INFINITY : Number(soft)
}

const openSlowly = async (text: string): Promise<Socket> => {
  const { hostname, port } = new URL(web.url)
  const socket = connect({ host: hostname, port: Number(port) })
  // The server may cut the connection, which is no error here.
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  if (text !== '') socket.write(text)
  return socket
}

const held = async (): Promise<number> =>
  new Promise((resolve, reject) =>
    web.app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  )

test(`${CONNECTIONS} slow connections do not stop a valid callback`, { timeout: 120_000 }, async () => {
  const allowed = openFilesAllowed()
  if (allowed < FILES_NEEDED)
    throw new Error(`needs ${FILES_NEEDED} open files, the system allows ${allowed}: ulimit -n ${FILES_NEEDED}`)
  const consents = await Promise.all([0, 1, 2].map(async () => anAskedConsent(world)))
  const callbacks = await Promise.all(consents.map(async ({ id }) => theCallback(world, id)))
  const sockets: Socket[] = []
  try {
    for (let opened = 0; opened < CONNECTIONS; opened += 100) {
      sockets.push(
        ...(await Promise.all(
          Array.from({ length: 100 }, async (_, index) => openSlowly(halves[index % halves.length] ?? '')),
        )),
      )
    }
    // Only connections whose time is over are cut by now, so the callbacks are served while slow connections are open.
    expect(await held()).toBeGreaterThan(CONNECTIONS / 2)
    const started = performance.now()
    const answers = await Promise.all(callbacks.map(async (query) => web.get(`/callback?${query}`)))
    const took = performance.now() - started
    expect(answers.map(({ status }) => status)).toEqual([303, 303, 303])
    expect(took).toBeLessThan(5_000)
    for (const { id } of consents)
      expect((await world.authorisationsOf(id)).map(({ status }) => status)).toEqual(['code_received'])
    expect((await web.get('/livez')).status).toBe(200)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
})
