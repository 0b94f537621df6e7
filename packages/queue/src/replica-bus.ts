import { Redis } from 'ioredis'

export type BusMessage = { type: string }

export type BusHandlers<Message extends BusMessage> = {
  /** `number` counts what this sender sent to this replica alone; null for what it sent to all. */
  onMessage(from: string, message: Message, body: Uint8Array, number: number | null): void
  /** Something that a replica sent to this one alone was lost. */
  onGap(from: string): void
  /** The connection was lost and is there again: whatever was sent meanwhile is lost. */
  onReconnected(): void
}

export type ReplicaBusOptions = {
  redisUrl: string
  /** This replica's own id. */
  id: string
  prefix?: string
  onError?: (error: Error) => void
}

type Envelope<Message> = { from: string; number: number | null; message: Message }

/**
 * Messages between replicas, at most once: one channel for each and one for all. What one replica sends to another arrives
 * in order; what is lost shows as a gap in the numbers, and the parts agree anew. Nothing is kept for who is away.
 */
export class ReplicaBus<Message extends BusMessage> {
  readonly id: string
  readonly #publisher: Redis
  readonly #subscriber: Redis
  readonly #channels: { all: string; of: (id: string) => string }
  readonly #sent = new Map<string, number>()
  readonly #received = new Map<string, number>()
  #handlers: BusHandlers<Message> | null = null

  constructor(options: ReplicaBusOptions) {
    this.id = options.id
    // Channels are shared by all databases of a server, keys are not.
    const database = new URL(options.redisUrl).pathname.slice(1) || '0'
    const base = `${options.prefix ?? 'skerry'}-${database}-replica`
    this.#channels = { all: `${base}s`, of: (id) => `${base}-${id}` }
    const connect = () => {
      const redis = new Redis(options.redisUrl, {
        lazyConnect: true,
        // What cannot be sent now is lost: sent later, it would tell of what was.
        enableOfflineQueue: false,
        autoResendUnfulfilledCommands: false,
        // It remembers only what was confirmed: cut while it subscribes anew, it would be deaf from then on.
        autoResubscribe: false,
        maxRetriesPerRequest: null,
        retryStrategy: (n) => Math.min(50 * n, 1_000)
      })
      redis.on('error', (error) => options.onError?.(error))
      return redis
    }
    this.#publisher = connect()
    this.#subscriber = connect()
  }

  /** Resolves once messages arrive here. */
  async start(handlers: BusHandlers<Message>): Promise<void> {
    this.#handlers = handlers
    this.#subscriber.on('messageBuffer', (_, data: Buffer) => this.#receive(data))
    await Promise.all([this.#publisher.connect(), this.#subscriber.connect()])
    await this.#subscribe()
    this.#publisher.on('ready', () => this.#handlers?.onReconnected())
    // A failure is a connection that was cut again: the next one subscribes.
    this.#subscriber.on('ready', () => void this.#subscribe().then(() => this.#handlers?.onReconnected(), this.#ignore))
  }

  async #subscribe(): Promise<void> {
    await this.#subscriber.subscribe(this.#channels.all, this.#channels.of(this.id))
  }

  /** Answers the message's number among those sent to that replica. */
  send(to: string, message: Message, body?: readonly Uint8Array[]): number {
    const number = (this.#sent.get(to) ?? 0) + 1
    this.#sent.set(to, number)
    this.#publish(this.#channels.of(to), { from: this.id, number, message }, body)
    return number
  }

  /** To all other replicas. */
  broadcast(message: Message): void {
    this.#publish(this.#channels.all, { from: this.id, number: null, message })
  }

  /** The number of the last message that came from that replica to this one alone. */
  heard(from: string): number {
    return this.#received.get(from) ?? 0
  }

  close(): void {
    this.#handlers = null
    this.#publisher.disconnect()
    this.#subscriber.disconnect()
  }

  #publish(channel: string, envelope: Envelope<Message>, body: readonly Uint8Array[] = []): void {
    const head = Buffer.from(JSON.stringify(envelope))
    const length = Buffer.alloc(4)
    length.writeUInt32LE(head.byteLength)
    // A failure is a lost message; the other side sees the gap, or both see the connection come back.
    this.#publisher.publish(channel, Buffer.concat([length, head, ...body])).catch(this.#ignore)
  }

  readonly #ignore = (): void => undefined

  #receive(data: Buffer): void {
    const headBytes = data.readUInt32LE(0)
    const { from, number, message } = JSON.parse(data.toString('utf8', 4, 4 + headBytes)) as Envelope<Message>
    if (from === this.id) return
    const expected = this.heard(from) + 1
    if (number !== null) this.#received.set(from, number)
    this.#handlers?.onMessage(from, message, data.subarray(4 + headBytes), number)
    // After the message: whoever is told of a gap says up to which message what it knows is the outcome.
    if (number !== null && number !== expected) this.#handlers?.onGap(from)
  }
}
