import { once } from 'node:events'
import { lstat, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import { type AddressInfo, createConnection } from 'node:net'
import { AgentError, wordsOf } from '../agent-error.ts'

/** Where programs on the device find the agent: a TCP port on loopback, or a Unix socket of the agent's user alone. */
export type LocalAddress = { port: number } | { path: string }

/** Linux's sockaddr_un holds 108 bytes with the closing zero. */
const SOCKET_PATH_BYTES = 107

/** Listens; answers the address as people write it. Throws `option-invalid` where that cannot be. */
export async function listen(server: Server, address: LocalAddress): Promise<string> {
  try {
    if ('port' in address) {
      server.listen(address.port, '127.0.0.1')
      await once(server, 'listening')
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    }
    if (Buffer.byteLength(address.path) > SOCKET_PATH_BYTES) {
      throw new Error(`the path of a socket has at most ${SOCKET_PATH_BYTES} bytes`)
    }
    await removeStale(address.path)
    // The socket is made within this call, with its mode: one that is changed later is open to all for a moment.
    const mask = process.umask(0o177)
    try {
      server.listen(address.path)
    } finally {
      process.umask(mask)
    }
    await once(server, 'listening')
    return address.path
  } catch (error) {
    const where = 'port' in address ? `port ${address.port}` : address.path
    throw new AgentError('option-invalid', `Local inference cannot listen on ${where}: ${wordsOf(error)}.`)
  }
}

/** A socket that a killed agent left behind; one that answers, and anything that is no socket, stays. */
async function removeStale(path: string): Promise<void> {
  const there = await lstat(path).catch(() => null)
  if (there === null) return
  if (!there.isSocket()) throw new Error('something that is not a socket is there already')
  const socket = createConnection(path)
  const answers = await once(socket, 'connect').then(
    () => true,
    () => false
  )
  socket.destroy()
  if (answers) throw new Error('another program listens there')
  await rm(path, { force: true })
}
