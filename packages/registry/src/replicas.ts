import type { Connection } from './connection.ts'

/** Which replica schedules a domain, and since which takeover. Statements that carry it work only while it is true. */
export type Fence = { domain: string; holder: string; term: number }

/** A replica that was not seen for this long is taken for dead, by Postgres's clock. */
export const REPLICA_STALE_MS = 6_000

/** The replicas of the control plane, and the lease by which one of them schedules. All times are Postgres's. */
export class ReplicaRegistry {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  /** A sign of life. `isNew` when no row stood here: at the first, or after others took this replica for dead. */
  async heartbeat(id: string): Promise<{ isNew: boolean; others: string[] }> {
    const { rows } = await this.#db.pool.query<{ is_new: boolean; others: string[] }>(
      `WITH seen AS (INSERT INTO replicas (id, seen_at) VALUES ($1, now())
         ON CONFLICT (id) DO UPDATE SET seen_at = now() RETURNING xmax = 0 AS is_new)
       SELECT is_new, ARRAY(SELECT id::text FROM replicas
         WHERE id <> $1 AND seen_at > now() - $2::int * interval '1 millisecond') AS others FROM seen`,
      [id, REPLICA_STALE_MS]
    )
    const [row] = rows
    return { isNew: row?.is_new ?? true, others: row?.others ?? [] }
  }

  /** A replica that stops says so. */
  async leave(id: string): Promise<void> {
    await this.#db.pool.query('DELETE FROM replicas WHERE id = $1', [id])
  }

  /** Forgets the replicas that fell silent, other than the caller's, and answers them: their devices are not connected. */
  async dropStale(caller: string): Promise<string[]> {
    const { rows } = await this.#db.pool.query<{ id: string }>(
      `WITH dead AS (DELETE FROM replicas
         WHERE id <> $1 AND seen_at <= now() - $2::int * interval '1 millisecond' RETURNING id),
       away AS (UPDATE devices SET connected = false FROM dead WHERE devices.replica_id = dead.id AND connected)
       SELECT id FROM dead`,
      [caller, REPLICA_STALE_MS]
    )
    return rows.map((row) => row.id)
  }

  /** Devices whose socket a replica holds after all: others had taken it for dead. */
  async reopen(replicaId: string, sessions: { deviceId: string; session: number }[]): Promise<void> {
    await this.#db.pool.query(
      `UPDATE devices SET connected = true FROM unnest($2::uuid[], $3::int[]) AS s(id, session)
       WHERE devices.id = s.id AND devices.session = s.session AND replica_id = $1 AND revoked_at IS NULL`,
      [replicaId, sessions.map((s) => s.deviceId), sessions.map((s) => s.session)]
    )
  }

  /** Takes the lease when nobody holds it any more; `mine` says whether that succeeded. Each takeover has a higher term. */
  async acquireLease(domain: string, caller: string, leaseMs: number): Promise<{ fence: Fence; mine: boolean } | null> {
    const { rows } = await this.#db.pool.query<{ holder: string; term: number; mine: boolean }>(
      `WITH taken AS (
         INSERT INTO scheduler_leases AS l (domain, holder, term, expires_at)
         VALUES ($1, $2, 1, now() + $3::int * interval '1 millisecond')
         ON CONFLICT (domain) DO UPDATE SET holder = $2, term = l.term + 1, expires_at = excluded.expires_at
         WHERE l.expires_at <= now() RETURNING holder, term)
       SELECT holder, term, true AS mine FROM taken
       UNION ALL SELECT holder, term, false FROM scheduler_leases WHERE domain = $1 AND NOT EXISTS (SELECT FROM taken)`,
      [domain, caller, leaseMs]
    )
    const [row] = rows
    return row === undefined ? null : { fence: { domain, holder: row.holder, term: row.term }, mine: row.mine }
  }

  /** False when the lease ran out, even if nobody took it since: whoever lost it begins anew. */
  async renewLease({ domain, holder, term }: Fence, leaseMs: number): Promise<boolean> {
    const { rowCount } = await this.#db.pool.query(
      `UPDATE scheduler_leases SET expires_at = now() + $4::int * interval '1 millisecond'
       WHERE domain = $1 AND holder = $2 AND term = $3 AND expires_at > now()`,
      [domain, holder, term, leaseMs]
    )
    return rowCount === 1
  }

  /** The next to ask gets it at once: the column's milliseconds may round `now()` up, and clocks step back. */
  async releaseLease({ domain, holder, term }: Fence): Promise<void> {
    await this.#db.pool.query(
      "UPDATE scheduler_leases SET expires_at = '-infinity' WHERE domain = $1 AND holder = $2 AND term = $3",
      [domain, holder, term]
    )
  }
}
