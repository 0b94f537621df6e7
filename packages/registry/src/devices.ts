import { createHash } from 'node:crypto'
import {
  type Capability,
  type Device,
  type DeviceFacts,
  type DeviceHealth,
  type DevicePatch,
  type DeviceQuery,
  type DeviceState,
  type Labels,
  type PlacementState,
  SkerryError,
  type Slots
} from '@skerry/contracts'
import type { Connection } from './connection.ts'
import { type DeviceRecord, type DeviceRow, RECORD_COLUMNS, stateOf, toRecord } from './device-record.ts'
import type { DeviceModel, PlacementModel } from './generated/models.ts'
import { isUuid, newId, secretHash } from './ids.ts'
import { NewestBenchmarks } from './newest-benchmarks.ts'
import { decodePageToken, type PageOf, toPage } from './paging.ts'
import { REPLICA_STALE_MS } from './replicas.ts'

export type NewDevice = {
  name: string
  publicKey: Uint8Array
  labels: Labels
  capabilities: Capability[]
  slots: Slots
  facts: DeviceFacts
}
/** Before all others: where pages begin. */
const LEAST_UUID = '00000000-0000-0000-0000-000000000000'

/** Where a device stands, and with one deployment's model. */
export type DeviceStanding = {
  id: string
  name: string
  state: DeviceState
  placement?: { state: PlacementState; reason: string | null }
}
type StandingRow = Pick<DeviceRow, 'id' | 'name' | 'connected' | 'cordoned' | 'draining'> & {
  placement: PlacementState | null
  reason: string | null
}

const toDevice = (row: DeviceModel & { placements: PlacementModel[] }, measured: NewestBenchmarks): Device => {
  // What it was measured to do is capacity to those who ask; the device tells it with its facts.
  const { benchmark, ...facts } = row.facts as unknown as DeviceFacts
  return {
    id: row.id,
    name: row.name,
    state: stateOf(row, row.revokedAt !== null),
    labels: row.labels as Labels,
    taints: row.taints,
    capabilities: row.capabilities as Capability[],
    facts,
    capacity: {
      slots: row.inferSlots,
      convertSlots: row.convertSlots,
      ...(benchmark === undefined ? {} : { benchmark })
    },
    health: row.health as unknown as DeviceHealth | null,
    models: row.placements.flatMap((placement) =>
      placement.artifact === null || placement.variant === null
        ? []
        : [
            {
              artifact: placement.artifact,
              deployment: placement.deploymentName,
              variant: placement.variant,
              state: placement.state as PlacementState,
              ...measured.of(row.id, placement)
            }
          ]
    ),
    keySha256: createHash('sha256').update(row.publicKey).digest('hex'),
    lastSeenAt: row.lastSeenAt?.toISOString() ?? null
  }
}

const STATE_WHERE: Record<DeviceState, object> = {
  revoked: { revokedAt: { not: null } },
  draining: { revokedAt: null, draining: true },
  cordoned: { revokedAt: null, draining: false, cordoned: true },
  online: { revokedAt: null, draining: false, cordoned: false, connected: true },
  offline: { revokedAt: null, draining: false, cordoned: false, connected: false }
}

export class DeviceRegistry {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  /** Enrols a device. A name that is taken gets a short ending, unless the caller chose it. */
  async create(device: NewDevice): Promise<{ id: string; name: string }> {
    const id = newId()
    try {
      await this.#db.prisma.device.create({
        data: {
          id,
          name: device.name,
          publicKey: Uint8Array.from(device.publicKey),
          labels: device.labels,
          capabilities: device.capabilities,
          facts: device.facts,
          inferSlots: device.slots.infer,
          convertSlots: device.slots.convert
        }
      })
    } catch (error) {
      if ((error as { code?: string }).code === 'P2002')
        throw new SkerryError('name-taken', `A device is named ${device.name}: choose another with --name`)
      throw error
    }
    return { id, name: device.name }
  }

  async publicKey(id: string): Promise<{ publicKey: Buffer; revoked: boolean } | null> {
    if (!isUuid(id)) return null
    const row = await this.#db.prisma.device.findUnique({ where: { id }, select: { publicKey: true, revokedAt: true } })
    return row === null ? null : { publicKey: Buffer.from(row.publicKey), revoked: row.revokedAt !== null }
  }

  /** Takes a device's new key, unless another was taken in place of `oldKey` meanwhile, or the device was revoked. */
  async replaceKey(id: string, oldKey: Uint8Array, newKey: Uint8Array): Promise<boolean> {
    const { count } = await this.#db.prisma.device.updateMany({
      where: { id, publicKey: Uint8Array.from(oldKey), revokedAt: null },
      data: { publicKey: Uint8Array.from(newKey), httpTokenHash: null }
    })
    return count === 1
  }

  /** What a device says of itself within its session. */
  async writeFacts(id: string, slots: Slots, facts: DeviceFacts): Promise<void> {
    await this.#db.prisma.device.update({
      where: { id },
      data: { facts, inferSlots: slots.infer, convertSlots: slots.convert }
    })
  }

  /** The replica that holds a device's socket; null while it is away. */
  async holder(id: string): Promise<string | null> {
    const row = await this.#db.prisma.device.findUnique({ where: { id }, select: { connected: true, replicaId: true } })
    return row?.connected === true ? row.replicaId : null
  }

  /** At start: no socket is open but at replicas that live, whatever the rows of earlier runs say. */
  async closeAllSessions(): Promise<void> {
    await this.#db.pool.query(
      `UPDATE devices SET connected = false, http_token_hash = NULL WHERE connected AND (replica_id IS NULL
         OR replica_id NOT IN (SELECT id FROM replicas WHERE seen_at > now() - $1::int * interval '1 millisecond'))`,
      [REPLICA_STALE_MS]
    )
  }

  async findByHttpToken(token: string): Promise<string | null> {
    const row = await this.#db.prisma.device.findFirst({
      where: { httpTokenHash: secretHash(token), revokedAt: null },
      select: { id: true }
    })
    return row?.id ?? null
  }

  /** Last-seen times and health, written in batches: heartbeats themselves live in memory. */
  async writeHealth(batch: { id: string; health: DeviceHealth; seenAt: Date }[]): Promise<void> {
    if (batch.length === 0) return
    await this.#db.pool.query(
      `WITH b AS (SELECT * FROM unnest($1::uuid[], $2::jsonb[], $3::timestamptz[]) AS b(id, health, seen_at)),
       locked AS (SELECT id FROM devices WHERE id IN (SELECT id FROM b) ORDER BY id FOR NO KEY UPDATE)
       UPDATE devices SET health = b.health, last_seen_at = b.seen_at
       FROM b JOIN locked ON locked.id = b.id WHERE devices.id = b.id`,
      [batch.map((b) => b.id), batch.map((b) => JSON.stringify(b.health)), batch.map((b) => b.seenAt)]
    )
  }

  async get(idOrName: string): Promise<Device> {
    const row = await this.#db.prisma.device.findFirst({
      where: isUuid(idOrName) ? { id: idOrName } : { name: idOrName },
      include: { placements: true }
    })
    if (row === null) throw new SkerryError('device-unknown', `No device has the id or name ${idOrName}`)
    return toDevice(row, await NewestBenchmarks.read(this.#db.pool, [row.id]))
  }

  async list(query: DeviceQuery): Promise<PageOf<Device>> {
    const limit = query.limit ?? 100
    const after = decodePageToken(query.pageToken)
    const [labelKey, ...labelValue] = (query.label ?? '').split('=')
    const rows = await this.#db.prisma.device.findMany({
      where: {
        ...(query.state === undefined ? {} : STATE_WHERE[query.state]),
        ...(query.capability === undefined ? {} : { capabilities: { has: query.capability } }),
        ...(labelKey === undefined || labelKey === ''
          ? {}
          : { labels: { path: [labelKey], equals: labelValue.join('=') } }),
        ...(after === undefined ? {} : { id: { gt: after } })
      },
      include: { placements: true },
      orderBy: { id: 'asc' },
      take: limit + 1
    })
    const ids = rows.map(({ id }) => id)
    const measured = await NewestBenchmarks.read(this.#db.pool, ids)
    return toPage(
      rows,
      limit,
      (row) => row.id,
      (row) => toDevice(row, measured)
    )
  }

  async records(ids: readonly string[]): Promise<DeviceRecord[]> {
    return this.#records('id = ANY($1::uuid[])', [ids])
  }

  /** Not revoked ones, a page at a time by id. */
  async recordsAfter(afterId: string | null, limit: number): Promise<DeviceRecord[]> {
    return this.#records('revoked_at IS NULL AND id > $1 ORDER BY id LIMIT $2', [afterId ?? LEAST_UUID, limit])
  }

  /** Of devices that are not revoked, a page at a time by id: what an explanation counts, and no more. */
  async standingsAfter(deployment: string | null, afterId: string | null, limit: number): Promise<DeviceStanding[]> {
    // The page first and then one look-up for each of its rows: joined at once, each page would read the whole deployment.
    const { rows } = await this.#db.pool.query<StandingRow>({
      name: 'device-standings',
      text: `WITH page AS MATERIALIZED (
               SELECT id, name, connected, cordoned, draining FROM devices
               WHERE revoked_at IS NULL AND id > $2 ORDER BY id LIMIT $3
             )
             SELECT page.*, p.state AS placement, p.reason FROM page LEFT JOIN LATERAL (
               SELECT state, reason FROM placements WHERE deployment = $1 AND device_id = page.id LIMIT 1
             ) p ON true ORDER BY page.id`,
      values: [deployment, afterId ?? LEAST_UUID, limit]
    })
    return rows.map((row) => ({
      ...{ id: row.id, name: row.name, state: stateOf(row, false) },
      ...(row.placement === null ? {} : { placement: { state: row.placement, reason: row.reason } })
    }))
  }

  /** Without Prisma: of large fleets its rows cost more than Postgres's answer. */
  async #records(where: string, values: unknown[]): Promise<DeviceRecord[]> {
    const { rows } = await this.#db.pool.query<DeviceRow>(
      `SELECT ${RECORD_COLUMNS} FROM devices WHERE ${where}`,
      values
    )
    return rows.map(toRecord)
  }

  async record(id: string): Promise<DeviceRecord> {
    const [record] = await this.records([id])
    if (record === undefined) throw new SkerryError('device-unknown', `No device has the id ${id}`)
    return record
  }

  async patch(id: string, patch: DevicePatch): Promise<Device> {
    const device = await this.get(id)
    await this.#db.prisma.device.update({ where: { id: device.id }, data: patch })
    return this.get(device.id)
  }

  /** Cordoned devices get no new work; draining ones finish what they have; revoked ones never connect again. */
  async setState(id: string, change: 'cordon' | 'uncordon' | 'drain' | 'revoke'): Promise<Device> {
    const device = await this.get(id)
    if (device.state === 'revoked') throw new SkerryError('device-state', `Device ${device.name} was revoked for good`)
    const data = {
      cordon: { cordoned: true },
      uncordon: { cordoned: false, draining: false },
      drain: { draining: true },
      revoke: { revokedAt: new Date(), httpTokenHash: null, connected: false }
    }[change]
    await this.#db.prisma.device.update({ where: { id: device.id }, data })
    return this.get(device.id)
  }

  async countByState(): Promise<Map<DeviceState, number>> {
    const { rows } = await this.#db.pool.query<
      Pick<DeviceRow, 'connected' | 'cordoned' | 'draining'> & { revoked: boolean; count: number }
    >(
      `SELECT connected, cordoned, draining, revoked_at IS NOT NULL AS revoked, count(*)::int AS count
       FROM devices GROUP BY 1, 2, 3, 4`
    )
    const counts = new Map<DeviceState, number>()
    for (const row of rows) {
      const state = stateOf(row, row.revoked)
      counts.set(state, (counts.get(state) ?? 0) + row.count)
    }
    return counts
  }
}
