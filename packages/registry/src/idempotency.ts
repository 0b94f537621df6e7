import { SkerryError } from '@skerry/contracts'
import type { Connection } from './connection.ts'

export type StoredAnswer = { status: number; body: unknown }

/** Answers of creating POSTs (jobs keep their keys in their own rows). */
export class IdempotencyRegistry {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  /** The earlier answer under this key, null when there is none; another request under it is refused. */
  async find(key: string, requestHash: Uint8Array): Promise<StoredAnswer | null> {
    const row = await this.#db.prisma.idempotentAnswer.findUnique({ where: { key } })
    if (row === null) return null
    if (!Buffer.from(row.requestHash).equals(requestHash)) throw new SkerryError('idempotency-mismatch')
    return { status: row.status, body: row.body }
  }

  async store(key: string, requestHash: Uint8Array, answer: StoredAnswer): Promise<void> {
    await this.#db.pool.query(
      'INSERT INTO idempotent_answers (key, request_hash, status, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
      [key, Buffer.from(requestHash), answer.status, JSON.stringify(answer.body)]
    )
  }
}
