import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { finished, Readable } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { arrivals, HttpExchange, readProblem } from '../src/http-exchange.ts'

const PIECE = Buffer.alloc(64 * 1024)
const PIECES = 4_096

describe('an upload that is refused', () => {
  let server: Server
  const http = new HttpExchange()

  afterEach(async () => {
    http.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('brings the answer, and the rest of the body is not sent', async () => {
    // Never reads the body, so that it is far from sent when the answer comes.
    server = createServer((request, response) => {
      request.pause()
      response.writeHead(401, { 'content-type': 'application/problem+json' })
      response.end(JSON.stringify({ code: 'unauthenticated', title: 'A valid key is needed' }))
    })
    // Else the server would end the exchange by itself some seconds later.
    server.keepAliveTimeout = 0
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    let pieces = 0
    const body = new Readable({
      read() {
        this.push(pieces++ < PIECES ? PIECE : null)
      }
    })
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/blob`)
    const headers = { 'content-length': String(PIECE.byteLength * PIECES) }
    const ended = new Promise((resolve) => finished(body, resolve))
    const response = await http.call({ method: 'PUT', url, headers, body })
    expect(await readProblem(response)).toMatchObject({ status: 401, code: 'unauthenticated' })
    await ended
    expect(pieces).toBeLessThan(PIECES)
  })
})

describe('a download whose connection goes while the disk is slow', () => {
  it('still hands over all that had arrived, and then fails', async () => {
    const sent = Buffer.alloc(300_000, 7)
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-length': String(2 * sent.byteLength) })
      response.write(sent, () => response.socket?.destroySoon())
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const http = new HttpExchange()
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/blob`)
    const response = await http.call({ method: 'GET', url, headers: {} })
    const closed = new Promise((resolve) => response.once('close', resolve))
    let bytes = 0
    const reading = (async () => {
      for await (const piece of arrivals(response)) {
        await closed
        bytes += piece.byteLength
      }
    })()
    await expect(reading).rejects.toThrow()
    expect(bytes).toBe(sent.byteLength)
    http.close()
    await new Promise((resolve) => server.close(resolve))
  })
})
