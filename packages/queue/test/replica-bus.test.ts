import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { freshRedis } from '@skerry/testkit'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ReplicaBus } from '../src/index.ts'

type Message = { type: string; value?: number }
type Received = { from: string; message: Message; body: Uint8Array; number: number | null }

class Listener {
  readonly events = new EventEmitter()
  readonly received: Received[] = []
  readonly gaps: string[] = []
  /** The last message that was handled when each gap was told. */
  readonly handledAtGaps: (number | null | undefined)[] = []
  readonly bus: ReplicaBus<Message>

  constructor(options: { url: string; prefix: string }) {
    this.bus = new ReplicaBus({
      redisUrl: options.url,
      prefix: options.prefix,
      id: randomUUID(),
      onError: () => undefined
    })
  }

  start(): Promise<void> {
    return this.bus.start({
      onMessage: (from, message, body, number) => {
        this.received.push({ from, message, body, number })
        this.events.emit('message')
      },
      onGap: (from) => {
        this.gaps.push(from)
        this.handledAtGaps.push(
          this.received.filter((each) => each.from === from && each.number !== null).at(-1)?.number
        )
      },
      onReconnected: () => this.events.emit('reconnected')
    })
  }

  async until(count: number): Promise<Received[]> {
    while (this.received.length < count) await once(this.events, 'message')
    return this.received
  }
}

describe('ReplicaBus', () => {
  let a: Listener
  let b: Listener
  let c: Listener
  let redis: Redis

  beforeEach(async () => {
    const options = freshRedis()
    redis = new Redis(options.url)
    ;[a, b, c] = [new Listener(options), new Listener(options), new Listener(options)]
    await Promise.all([a.start(), b.start(), c.start()])
  })
  afterEach(() => {
    for (const { bus } of [a, b, c]) bus.close()
    redis.disconnect()
  })

  it('brings what one sends to another there alone, in order, with its bytes', async () => {
    for (let value = 0; value < 100; value++)
      a.bus.send(b.bus.id, { type: 'x', value }, [new Uint8Array([value]), new Uint8Array([7])])
    const received = await b.until(100)
    expect(received.map(({ message }) => message.value)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    expect(received.map(({ number }) => number)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    expect([...(received[42]?.body ?? [])]).toEqual([42, 7])
    expect(b.bus.heard(a.bus.id)).toBe(100)
    expect(b.gaps).toEqual([])
    expect(c.received).toEqual([])
  })

  it('brings what is for all to all others', async () => {
    a.bus.broadcast({ type: 'x' })
    for (const listener of [b, c]) expect((await listener.until(1))[0]).toMatchObject({ from: a.bus.id, number: null })
    expect(a.received).toEqual([])
  })

  it('survives a lost connection, says so, and shows what was lost as a gap', async () => {
    a.bus.send(b.bus.id, { type: 'x', value: 1 })
    await b.until(1)
    const back = once(b.events, 'reconnected')
    // b's subscription is cut at a moment when nobody resubscribed yet, so this message is nobody's.
    await redis.multi().client('KILL', 'TYPE', 'pubsub').exec()
    a.bus.send(b.bus.id, { type: 'x', value: 2 })
    await back
    a.bus.send(b.bus.id, { type: 'x', value: 3 })
    const received = await b.until(2)
    expect(received.map(({ message }) => message.value)).toEqual([1, 3])
    expect(b.gaps).toEqual([a.bus.id])
    expect(b.handledAtGaps).toEqual([3])
    a.bus.send(b.bus.id, { type: 'x', value: 4 })
    await b.until(3)
    expect(b.gaps).toHaveLength(1)
  })

  it('hears again whenever its connection was cut, also before it had subscribed anew', async () => {
    for (let cut = 0; cut < 200; cut++) {
      await redis.client('KILL', 'TYPE', cut % 3 === 0 ? 'pubsub' : 'normal')
      await new Promise((resolve) => setTimeout(resolve, cut % 20))
    }
    const heard = new Set<Listener>()
    for (const listener of [a, b, c]) listener.events.on('message', () => heard.add(listener))
    const until = Date.now() + 10_000
    while (heard.size < 3 && Date.now() < until) {
      for (const { bus } of [a, b, c]) bus.broadcast({ type: 'x' })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(heard.size).toBe(3)
  }, 30_000)
})
