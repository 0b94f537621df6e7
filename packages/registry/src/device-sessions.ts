import type { DeviceConfig, DeviceFacts, Slots } from '@skerry/contracts'
import type { Connection } from './connection.ts'
import { type DeviceRecord, type DeviceRow, toRecord } from './device-record.ts'
import { isUuid, newSecret, secretHash } from './ids.ts'

export type Opening = { deviceId: string; publicKey: Uint8Array; slots: Slots; facts: DeviceFacts }
export type OpenedSession = {
  session: number
  httpToken: string
  /** The replica that held its last session, where that is still thought to be open. */
  before: string | null
  record: DeviceRecord
  /** What the device said of itself until now. */
  factsBefore: DeviceFacts
  config: DeviceConfig
  configRevision: number
}

type OpenedRow = DeviceRow & {
  session: number
  config: DeviceConfig
  config_revision: number
  before: string | null
  facts_before: DeviceFacts
}

/** Devices' connections, many in one statement: a fleet comes back all at once. */
export class DeviceSessions {
  readonly #pool: Connection['pool']
  constructor(db: Connection) {
    this.#pool = db.pool
  }

  /** By device; those that nobody enrolled are left out. */
  async publicKeys(deviceIds: readonly string[]): Promise<Map<string, { publicKey: Buffer; revoked: boolean }>> {
    const { rows } = await this.#pool.query<{ id: string; public_key: Buffer; revoked: boolean }>(
      'SELECT id, public_key, revoked_at IS NOT NULL AS revoked FROM devices WHERE id = ANY($1::uuid[])',
      [deviceIds.filter(isUuid)]
    )
    return new Map(rows.map(({ id, public_key, revoked }) => [id, { publicKey: public_key, revoked }]))
  }

  /**
   * Starts each device's next session, one for each device: whatever an older one still sends is void from here on. By
   * device; those are left out that were revoked, or whose key is no more the one by which they proved themselves. Slots of
   * a kind of work that the enrolment did not allow are none.
   */
  async open(openings: readonly Opening[], replicaId: string): Promise<Map<string, OpenedSession>> {
    const tokens = openings.map(() => newSecret('session'))
    // Rows are locked in one order, so that statements over many devices never wait for each other in a circle.
    const { rows } = await this.#pool.query<OpenedRow>(
      `WITH o AS (SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::jsonb[], $5::int[], $6::int[])
         AS o(id, public_key, token_hash, facts, infer, convert)),
       old AS (SELECT id, connected, replica_id, facts FROM devices WHERE id IN (SELECT id FROM o)
         ORDER BY id FOR NO KEY UPDATE)
       UPDATE devices d SET session = d.session + 1, http_token_hash = o.token_hash, connected = true, replica_id = $7,
         facts = o.facts, last_seen_at = now(),
         infer_slots = CASE WHEN 'infer' = ANY(d.capabilities) THEN o.infer ELSE 0 END,
         convert_slots = CASE WHEN 'convert' = ANY(d.capabilities) THEN o.convert ELSE 0 END
       FROM o JOIN old ON old.id = o.id
       WHERE d.id = o.id AND d.public_key = o.public_key AND d.revoked_at IS NULL
       RETURNING d.*, CASE WHEN old.connected THEN old.replica_id END AS before, old.facts AS facts_before`,
      [
        openings.map((each) => each.deviceId),
        openings.map((each) => Buffer.from(each.publicKey)),
        tokens.map((token) => Buffer.from(secretHash(token))),
        openings.map((each) => JSON.stringify(each.facts)),
        openings.map((each) => each.slots.infer),
        openings.map((each) => each.slots.convert),
        replicaId
      ]
    )
    const tokenOf = new Map(openings.map(({ deviceId }, i) => [deviceId, tokens[i] as string]))
    return new Map(
      rows.map((row) => [
        row.id,
        {
          session: row.session,
          httpToken: tokenOf.get(row.id) ?? '',
          before: row.before,
          record: toRecord(row),
          factsBefore: row.facts_before,
          config: row.config,
          configRevision: row.config_revision
        }
      ])
    )
  }

  /** Devices whose newer session is open already stay connected. */
  async close(sessions: readonly { deviceId: string; session: number }[]): Promise<void> {
    await this.#pool.query(
      `WITH s AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS s(id, session)),
       locked AS (SELECT id FROM devices WHERE id IN (SELECT id FROM s) ORDER BY id FOR NO KEY UPDATE)
       UPDATE devices d SET connected = false, http_token_hash = NULL, last_seen_at = now()
       FROM s JOIN locked ON locked.id = s.id WHERE d.id = s.id AND d.session = s.session`,
      [sessions.map((each) => each.deviceId), sessions.map((each) => each.session)]
    )
  }
}
