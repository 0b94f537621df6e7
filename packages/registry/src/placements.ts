import type { DeploymentPhase, Manifest, PlacementState } from '@skerry/contracts'
import type { Connection } from './connection.ts'

export type PlacementWrite = {
  deployment: string
  deviceId: string
  variant: string | null
  artifact: string | null
  runtime: string | null
  state: PlacementState
  reason: string | null
  measured?: { variant: string; p50Ms: number }[]
  passedOver?: { variant: string; reason: string }[]
}
export type KnownPlacement = Pick<
  PlacementWrite,
  'deployment' | 'deviceId' | 'artifact' | 'runtime' | 'state' | 'reason'
>
export type PlacementReport = {
  deployment: string
  deviceId: string
  artifact: string
  state: PlacementState
  reason: string | undefined
}
/** What should be loaded on a device, with what proves it. */
export type DesiredPlacement = {
  deployment: string
  artifact: string
  runtime: string
  manifest: Manifest
  signature: string
}

/** Which artifact of a deployment a device should hold, and how far it is with it: many devices in one statement. */
export class PlacementRegistry {
  readonly #pool: Connection['pool']
  constructor(db: Connection) {
    this.#pool = db.pool
  }

  /** Of these devices, over all deployments. */
  async of(deviceIds: readonly string[]): Promise<KnownPlacement[]> {
    const { rows } = await this.#pool.query<KnownPlacement>(
      `SELECT deployment, device_id AS "deviceId", artifact, runtime, state, reason FROM placements
       WHERE device_id = ANY($1::uuid[])`,
      [deviceIds]
    )
    return rows
  }

  /** One for each device of a deployment; those of a deployment that is gone are left out. */
  async write(writes: readonly PlacementWrite[]): Promise<void> {
    if (writes.length === 0) return
    const rows = writes.map(({ measured, passedOver = [], deviceId, ...rest }) => ({
      ...rest,
      device_id: deviceId,
      ...(measured === undefined ? {} : { measured }),
      ...(passedOver.length === 0 ? {} : { passed_over: passedOver })
    }))
    await this.#pool.query(
      `INSERT INTO placements AS p (deployment, device_id, variant, artifact, runtime, state, reason, measured, passed_over)
       SELECT w.* FROM jsonb_to_recordset($1) AS w(deployment text, device_id uuid, variant text, artifact text,
         runtime text, state text, reason text, measured jsonb, passed_over jsonb)
       JOIN deployments ON deployments.name = w.deployment ORDER BY w.deployment, w.device_id
       ON CONFLICT (deployment, device_id) DO UPDATE SET variant = excluded.variant, artifact = excluded.artifact,
         runtime = excluded.runtime, state = excluded.state, reason = excluded.reason,
         measured = coalesce(excluded.measured, p.measured), passed_over = excluded.passed_over, updated_at = now()`,
      [JSON.stringify(rows)]
    )
  }

  async remove(deployment: string, deviceIds: readonly string[]): Promise<void> {
    if (deviceIds.length === 0) return
    await this.#pool.query('DELETE FROM placements WHERE deployment = $1 AND device_id = ANY($2::uuid[])', [
      deployment,
      deviceIds
    ])
  }

  /**
   * What devices say of artifacts, one report for each placement. Answers in their order what is placed there; null where
   * that is another artifact by now, so that the report changed nothing.
   */
  async report(
    reports: readonly PlacementReport[]
  ): Promise<({ variant: string | null; runtime: string | null } | null)[]> {
    type Row = { deployment: string; device_id: string; variant: string | null; runtime: string | null }
    const { rows } = await this.#pool.query<Row>(
      `WITH r AS (SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[])
         AS r(deployment, device_id, artifact, state, reason)),
       locked AS (SELECT p.deployment, p.device_id FROM placements p JOIN r USING (deployment, device_id)
         ORDER BY p.deployment, p.device_id FOR NO KEY UPDATE OF p)
       UPDATE placements p SET state = r.state, reason = r.reason, updated_at = now()
       FROM r JOIN locked USING (deployment, device_id)
       WHERE p.deployment = r.deployment AND p.device_id = r.device_id AND p.artifact = r.artifact
       RETURNING p.deployment, p.device_id, p.variant, p.runtime`,
      [
        reports.map((each) => each.deployment),
        reports.map((each) => each.deviceId),
        reports.map((each) => each.artifact),
        reports.map((each) => each.state),
        reports.map((each) => each.reason ?? null)
      ]
    )
    const placed = new Map(
      rows.map(({ variant, runtime, ...key }) => [`${key.device_id} ${key.deployment}`, { variant, runtime }])
    )
    return reports.map(({ deviceId, deployment }) => placed.get(`${deviceId} ${deployment}`) ?? null)
  }

  /** By device, over all deployments, the oldest first; one that should hold nothing is left out. */
  async desired(deviceIds: readonly string[]): Promise<Map<string, DesiredPlacement[]>> {
    type Row = {
      device_id: string
      deployment: string
      model: string
      version: string
      variant: string
      artifact: string
      runtime: string
    }
    const { rows } = await this.#pool.query<Row>(
      `SELECT p.device_id, p.deployment, d.model, d.version, p.variant, p.artifact, p.runtime
       FROM placements p JOIN deployments d ON d.name = p.deployment
       WHERE p.device_id = ANY($1::uuid[]) AND p.artifact IS NOT NULL AND p.variant IS NOT NULL AND p.runtime IS NOT NULL
       ORDER BY d.created_at, d.name`,
      [deviceIds]
    )
    if (rows.length === 0) return new Map()
    // Once for all devices: the manifest is the largest part of it.
    const keyOf = (each: Pick<Row, 'model' | 'version' | 'variant'>) => `${each.model} ${each.version} ${each.variant}`
    const wanted = [...new Map(rows.map((row) => [keyOf(row), row])).values()]
    type Signed = Pick<Row, 'model' | 'version' | 'variant'> & { sha256: string; manifest: Manifest; signature: string }
    const { rows: variants } = await this.#pool.query<Signed>(
      `SELECT model, version, variant, sha256, manifest, signature FROM variants
       JOIN unnest($1::text[], $2::text[], $3::text[]) AS w(model, version, variant) USING (model, version, variant)
       WHERE manifest IS NOT NULL AND signature IS NOT NULL`,
      [wanted.map((each) => each.model), wanted.map((each) => each.version), wanted.map((each) => each.variant)]
    )
    const signed = new Map(variants.map((each) => [keyOf(each), each]))
    const desired = new Map<string, DesiredPlacement[]>()
    for (const row of rows) {
      const variant = signed.get(keyOf(row))
      if (variant === undefined || variant.sha256 !== row.artifact) continue
      const { manifest, signature } = variant
      const list = desired.get(row.device_id) ?? []
      desired.set(row.device_id, list)
      list.push({ deployment: row.deployment, artifact: row.artifact, runtime: row.runtime, manifest, signature })
    }
    return desired
  }

  /**
   * Ready when every connected device that can serve it does or failed, and at least one does. Asks only whether there are
   * such placements, so that its cost does not follow their number.
   */
  async updatePhase(deployment: string): Promise<void> {
    type Row = { ready: boolean; failed: boolean; under_way: boolean; placed: boolean; eligible: boolean }
    const connected = (states: string) =>
      `EXISTS (SELECT FROM placements p JOIN devices d ON d.id = p.device_id
         WHERE p.deployment = $1 AND p.state IN (${states}) AND d.connected)`
    const { rows } = await this.#pool.query<Row>(
      `SELECT ${connected("'ready'")} AS ready, ${connected("'failed'")} AS failed,
         ${connected("'pending', 'fetching', 'verifying', 'loading', 'checking'")} AS under_way,
         EXISTS (SELECT FROM placements WHERE deployment = $1) AS placed,
         EXISTS (SELECT FROM placements WHERE deployment = $1 AND state <> 'ineligible') AS eligible`,
      [deployment]
    )
    const [row] = rows
    if (row === undefined) return
    let phase: DeploymentPhase = 'progressing'
    if (row.ready && !row.under_way) phase = 'ready'
    else if (row.failed && !row.ready && !row.under_way) phase = 'failed'
    else if (row.placed && !row.eligible) phase = 'failed'
    await this.#pool.query('UPDATE deployments SET phase = $2 WHERE name = $1 AND phase <> $2', [deployment, phase])
  }
}
