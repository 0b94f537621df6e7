import type { Diagnostics, DiagnosticsFrame } from '@skerry/contracts'
import { SkerryError } from '@skerry/contracts'
import type { Connection } from './connection.ts'
import { isUuid, newId } from './ids.ts'

type Row = {
  id: string
  device_id: string
  state: Diagnostics['state']
  reason: string | null
  sha256: string | null
  bytes: number | null
  requested_at: Date
  ended_at: Date | null
  late: boolean
}

/** An agent gathers in well under a second; the rest is the transfer. */
const ANSWER_WITHIN_S = 120
const COLUMNS = `*, state = 'gathering' AND now() - requested_at > interval '${ANSWER_WITHIN_S} s' AS late`

/** Bundles that devices were asked for; the bundles themselves are blobs. */
export class DiagnosticsRegistry {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  async create(deviceId: string): Promise<Diagnostics> {
    const { rows } = await this.#db.pool.query<Row>(
      `INSERT INTO diagnostics (id, device_id) VALUES ($1, $2) RETURNING ${COLUMNS}`,
      [newId(), deviceId]
    )
    return toDiagnostics(rows[0] as Row)
  }

  async get(id: string): Promise<Diagnostics> {
    const query = `SELECT ${COLUMNS} FROM diagnostics WHERE id = $1`
    const { rows } = isUuid(id) ? await this.#db.pool.query<Row>(query, [id]) : { rows: [] }
    if (rows[0] === undefined) throw new SkerryError('diagnostics-unknown', `There are no diagnostics ${id}`)
    return toDiagnostics(rows[0])
  }

  /** Only of the device that was asked, and once. */
  async end(deviceId: string, { id, blob, bytes, error }: DiagnosticsFrame): Promise<void> {
    await this.#db.pool.query(
      `UPDATE diagnostics SET state = $3, reason = $4, sha256 = $5, bytes = $6, ended_at = now()
       WHERE id = $1 AND device_id = $2 AND state = 'gathering'`,
      [id, deviceId, blob === undefined ? 'failed' : 'ready', error ?? null, blob ?? null, bytes ?? null]
    )
  }
}

function toDiagnostics(row: Row): Diagnostics {
  const late = `The device did not answer within ${ANSWER_WITHIN_S} s: ask again when it is connected.`
  const reason = row.late ? late : row.reason
  return {
    id: row.id,
    device: row.device_id,
    state: row.late ? 'failed' : row.state,
    ...(reason === null ? {} : { reason }),
    ...(row.sha256 === null ? {} : { sha256: row.sha256 }),
    ...(row.bytes === null ? {} : { bytes: row.bytes }),
    requestedAt: row.requested_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null
  }
}
