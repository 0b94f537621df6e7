import {
  type ConfigReport,
  type DeviceConfig,
  type DeviceConfigPatch,
  type DeviceConfigState,
  type DeviceFacts,
  SkerryError
} from '@skerry/contracts'
import type { Connection } from './connection.ts'
import { isUuid } from './ids.ts'

type Row = {
  id: string
  config: DeviceConfig
  config_revision: number
  config_report: DeviceConfigState['report']
  facts: DeviceFacts
}

const COLUMNS = 'id, config, config_revision, config_report, facts'

/** What operators set for devices, and what the devices made of it. */
export class DeviceConfigRegistry {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  async get(idOrName: string): Promise<DeviceConfigState & { deviceId: string }> {
    return this.#one(`SELECT ${COLUMNS} FROM devices WHERE ${keyOf(idOrName)} = $1`, idOrName)
  }

  /** One statement, so that two operators who change different settings at once both get theirs. */
  async patch(idOrName: string, patch: DeviceConfigPatch): Promise<DeviceConfigState & { deviceId: string }> {
    return this.#one(
      `UPDATE devices SET config = jsonb_strip_nulls(config || $2::jsonb),
         config_revision = config_revision + (config <> jsonb_strip_nulls(config || $2::jsonb))::int
       WHERE ${keyOf(idOrName)} = $1 RETURNING ${COLUMNS}`,
      idOrName,
      JSON.stringify(patch)
    )
  }

  async report(deviceId: string, report: ConfigReport, at: Date): Promise<void> {
    await this.#db.pool.query('UPDATE devices SET config_report = $2 WHERE id = $1', [
      deviceId,
      JSON.stringify({ ...report, at: at.toISOString() })
    ])
  }

  async #one(sql: string, idOrName: string, ...more: string[]): Promise<DeviceConfigState & { deviceId: string }> {
    const { rows } = await this.#db.pool.query<Row>(sql, [idOrName, ...more])
    const row = rows[0]
    if (row === undefined) throw new SkerryError('device-unknown', `No device has the id or name ${idOrName}`)
    return {
      deviceId: row.id,
      revision: row.config_revision,
      wanted: row.config,
      understood: row.facts.understands?.includes('config') === true,
      report: row.config_report
    }
  }
}

const keyOf = (idOrName: string): string => (isUuid(idOrName) ? 'id' : 'name')
