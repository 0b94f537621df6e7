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
import type { DeviceModel, PlacementModel } from './generated/models.ts'
import { isUuid, newId, newSecret, secretHash } from './ids.ts'
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
/** `before`: the replica that held its last session, where that is still thought to be open. */
export type OpenedSession = { session: number; httpToken: string; before: string | null }

/** What the scheduler needs of a device. */
export type DeviceRecord = {
  id: string
  name: string
  state: DeviceState
  labels: Labels
  taints: string[]
  capabilities: Capability[]
  facts: DeviceFacts
  slots: Slots
  cordoned: boolean
  connected: boolean
  revoked: boolean
}

const stateOf = (row: DeviceModel): DeviceState => {
  if (row.revokedAt !== null) return 'revoked'
  if (row.draining) return 'draining'
  if (row.cordoned) return 'cordoned'
  return row.connected ? 'online' : 'offline'
}

const toDevice = (row: DeviceModel & { placements: PlacementModel[] }, measured: NewestBenchmarks): Device => {
  // What it was measured to do is capacity to those who ask; the device tells it with its facts.
  const { benchmark, ...facts } = row.facts as unknown as DeviceFacts
  return {
    id: row.id,
    name: row.name,
    state: stateOf(row),
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

const toRecord = (row: DeviceModel): DeviceRecord => ({
  id: row.id,
  name: row.name,
  state: stateOf(row),
  labels: row.labels as Labels,
  taints: row.taints,
  capabilities: row.capabilities as Capability[],
  facts: row.facts as unknown as DeviceFacts,
  slots: { infer: row.inferSlots, convert: row.convertSlots },
  cordoned: row.cordoned || row.draining,
  connected: row.connected,
  revoked: row.revokedAt !== null
})

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

  /**
   * Starts the device's next session: whatever an older one still sends is void from here on. Throws `device-unproven`
   * where `publicKey`, by which the device proved itself, is its key no more.
   */
  async openSession(
    id: string,
    publicKey: Uint8Array,
    { slots, facts }: { slots: Slots; facts: DeviceFacts },
    replicaId: string
  ): Promise<OpenedSession> {
    const httpToken = newSecret('session')
    const before = await this.holder(id)
    const [row] = await this.#db.prisma.device.updateManyAndReturn({
      where: { id, publicKey: Uint8Array.from(publicKey), revokedAt: null },
      data: {
        session: { increment: 1 },
        httpTokenHash: secretHash(httpToken),
        connected: true,
        replicaId,
        facts,
        inferSlots: slots.infer,
        convertSlots: slots.convert,
        lastSeenAt: new Date()
      },
      select: { session: true }
    })
    if (row === undefined) throw new SkerryError('device-unproven', 'The key that proved the device is its key no more')
    return { session: row.session, httpToken, before }
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

  /** False when a newer session is open already. */
  async closeSession(id: string, session: number): Promise<boolean> {
    const { count } = await this.#db.prisma.device.updateMany({
      where: { id, session },
      data: { connected: false, httpTokenHash: null, lastSeenAt: new Date() }
    })
    return count === 1
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
      `UPDATE devices SET health = b.health, last_seen_at = b.seen_at
       FROM unnest($1::uuid[], $2::jsonb[], $3::timestamptz[]) AS b(id, health, seen_at) WHERE devices.id = b.id`,
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

  async allRecords(): Promise<DeviceRecord[]> {
    return (await this.#db.prisma.device.findMany({ where: { revokedAt: null } })).map(toRecord)
  }

  async records(ids: string[]): Promise<DeviceRecord[]> {
    return (await this.#db.prisma.device.findMany({ where: { id: { in: ids } } })).map(toRecord)
  }

  async record(id: string): Promise<DeviceRecord> {
    return toRecord(await this.#db.prisma.device.findUniqueOrThrow({ where: { id } }))
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
    const rows = await this.#db.prisma.device.findMany()
    const counts = new Map<DeviceState, number>()
    for (const row of rows) counts.set(stateOf(row), (counts.get(stateOf(row)) ?? 0) + 1)
    return counts
  }
}
