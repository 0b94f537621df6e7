import { once } from 'node:events'
import { SUBPROTOCOL } from '@skerry/contracts'
import type { Engine } from '@skerry/engine'
import fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import agentSocket from '../src/agent/socket.ts'

describe('the socket of agents', () => {
  let app: FastifyInstance
  let url: string

  beforeEach(async () => {
    app = fastify()
    await app.register(fp(async () => undefined, { name: 'access' }))
    // Nobody says hello here.
    await app.register(agentSocket, { engine: {} as Engine, maxWaiting: 2 })
    url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
  })
  afterEach(() => app.close())

  /** 101, or what the upgrade was refused with. */
  const connect = async (): Promise<{ status: number; socket: WebSocket }> => {
    const socket = new WebSocket(`${url}/agent/v1`, SUBPROTOCOL)
    socket.on('error', () => undefined)
    const status = await new Promise<number>((resolve) => {
      // The challenge comes once the connection counts.
      socket.once('message', () => resolve(101))
      socket.once('unexpected-response', (_, response) => resolve(response.statusCode ?? 0))
    })
    return { status, socket }
  }

  it('takes so many devices at a time that have no session yet, and tells the others to come later', async () => {
    const first = await connect()
    expect([first.status, (await connect()).status, (await connect()).status]).toEqual([101, 101, 503])
    first.socket.close()
    await once(first.socket, 'close')
    // The other end hears of that a moment later.
    while ((await connect()).status !== 101);
  })
})
