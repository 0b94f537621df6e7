import type pg from 'pg'
import type { JobRow } from './job-record.ts'

type JobRef = { jobId: string; epoch: number }
export type Adopting = { deviceId: string; session: number; holding: readonly JobRef[] }
export type Adopted = { kept: JobRow[]; lost: JobRow[] }

/**
 * After devices connected anew: the jobs that they still hold pass to their new sessions, the others come back as lost. By
 * device; one that runs nothing is left out.
 */
export async function adoptRunning(pool: pg.Pool, devices: readonly Adopting[]): Promise<Map<string, Adopted>> {
  const adopted = new Map<string, Adopted>()
  const { rows } = await pool.query<JobRow>(
    "SELECT * FROM jobs WHERE state = 'running' AND device_id = ANY($1::uuid[])",
    [devices.map(({ deviceId }) => deviceId)]
  )
  if (rows.length === 0) return adopted
  const of = new Map(devices.map(({ deviceId, session, holding }) => [deviceId, { session, held: keysOf(holding) }]))
  const kept: { id: string; deviceId: string; session: number }[] = []
  for (const row of rows) {
    const deviceId = row.device_id as string
    const { session, held } = of.get(deviceId) ?? { session: 0, held: new Set() }
    const entry = adopted.get(deviceId) ?? { kept: [], lost: [] }
    adopted.set(deviceId, entry)
    const isHeld = held.has(`${row.id}-${row.epoch}`)
    entry[isHeld ? 'kept' : 'lost'].push(row)
    if (isHeld) kept.push({ id: row.id, deviceId, session })
  }
  if (kept.length > 0)
    await pool.query(
      `UPDATE jobs SET session = k.session,
         lease_expires_at = greatest(lease_expires_at, now() + interval '15 seconds')
       FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS k(id, device_id, session)
       WHERE jobs.id = k.id AND jobs.state = 'running' AND jobs.device_id = k.device_id`,
      [kept.map((each) => each.id), kept.map((each) => each.deviceId), kept.map((each) => each.session)]
    )
  return adopted
}

const keysOf = (holding: readonly JobRef[]): Set<string> =>
  new Set(holding.map(({ jobId, epoch }) => `${jobId}-${epoch}`))
