import {
  type Deployment,
  type DeploymentPhase,
  type DeploymentRequest,
  type Labels,
  type Placement,
  type PlacementState,
  type Requirements,
  SkerryError
} from '@skerry/contracts'
import type { Connection } from './connection.ts'
import type { DeploymentModel, DeviceModel, PlacementModel } from './generated/models.ts'
import { decodePageToken, type PageOf, toPage } from './paging.ts'

type PlacementRow = PlacementModel & { device: Pick<DeviceModel, 'name'> }

const toPlacement = (row: PlacementRow): Placement => ({
  device: row.deviceId,
  deviceName: row.device.name,
  runtime: row.runtime,
  variant: row.variant,
  artifact: row.artifact,
  state: row.state as PlacementState,
  ...(row.reason === null ? {} : { reason: row.reason }),
  ...(row.measured === null ? {} : { measured: row.measured as NonNullable<Placement['measured']> }),
  ...(row.passedOver === null ? {} : { passedOver: row.passedOver as NonNullable<Placement['passedOver']> }),
  updatedAt: row.updatedAt.toISOString()
})

const toDeployment = (row: DeploymentModel & { placements: PlacementRow[] }): Deployment => ({
  name: row.name,
  model: row.modelName,
  version: row.version,
  variants: row.variants as Deployment['variants'],
  selector: row.selector as Labels,
  requirements: row.requirements as Requirements,
  allowUnproven: row.allowUnproven,
  phase: row.phase as DeploymentPhase,
  devices: row.placements.map(toPlacement),
  createdAt: row.createdAt.toISOString()
})

const include = {
  placements: { include: { device: { select: { name: true } } }, orderBy: { deviceId: 'asc' as const } }
}

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

export class DeploymentRegistry {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  async create(request: DeploymentRequest): Promise<Deployment> {
    try {
      const row = await this.#db.prisma.deployment.create({
        data: {
          name: request.name,
          modelName: request.model,
          version: request.version,
          variants: request.variants ?? 'auto',
          selector: request.selector ?? {},
          requirements: request.requirements ?? {},
          allowUnproven: request.allowUnproven ?? false
        },
        include
      })
      return toDeployment(row)
    } catch (error) {
      if ((error as { code?: string }).code === 'P2002')
        throw new SkerryError('name-taken', `A deployment is named ${request.name}: delete it or choose another name`)
      throw error
    }
  }

  async get(name: string): Promise<Deployment> {
    const row = await this.#db.prisma.deployment.findUnique({ where: { name }, include })
    if (row === null) throw new SkerryError('deployment-unknown', `No deployment is named ${name}`)
    return toDeployment(row)
  }

  /** How far each device is with it; empty where there is no such deployment. */
  async placements(name: string): Promise<{ device: string; state: PlacementState; reason: string | null }[]> {
    const { rows } = await this.#db.pool.query<{ device: string; state: PlacementState; reason: string | null }>(
      'SELECT device_id AS device, state, reason FROM placements WHERE deployment = $1',
      [name]
    )
    return rows
  }

  async list(limit: number, pageToken: string | undefined): Promise<PageOf<Deployment>> {
    const after = decodePageToken(pageToken)
    const rows = await this.#db.prisma.deployment.findMany({
      where: after === undefined ? {} : { name: { gt: after } },
      include,
      orderBy: { name: 'asc' },
      take: limit + 1
    })
    return toPage(rows, limit, (row) => row.name, toDeployment)
  }

  async all(): Promise<Deployment[]> {
    return (await this.#db.prisma.deployment.findMany({ include, orderBy: { createdAt: 'asc' } })).map(toDeployment)
  }

  /** The newest deployment of this model (and version): the pool that a job for it joins. */
  async serving(model: string, version: string | undefined): Promise<{ name: string; version: string } | null> {
    const row = await this.#db.prisma.deployment.findFirst({
      where: { modelName: model, ...(version === undefined ? {} : { version }) },
      orderBy: { createdAt: 'desc' },
      select: { name: true, version: true }
    })
    return row
  }

  /** Whether a connected device has it ready. */
  async isServed(name: string): Promise<boolean> {
    const { rowCount } = await this.#db.pool.query(
      `SELECT FROM placements JOIN devices ON devices.id = placements.device_id
       WHERE deployment = $1 AND placements.state = 'ready' AND connected AND NOT cordoned AND NOT draining LIMIT 1`,
      [name]
    )
    return rowCount === 1
  }

  async delete(name: string): Promise<void> {
    const { count } = await this.#db.prisma.deployment.deleteMany({ where: { name } })
    if (count === 0) throw new SkerryError('deployment-unknown', `No deployment is named ${name}`)
  }

  async setPhase(name: string, phase: DeploymentPhase): Promise<void> {
    await this.#db.prisma.deployment.updateMany({ where: { name, phase: { not: phase } }, data: { phase } })
  }

  async writePlacement(write: PlacementWrite): Promise<void> {
    await this.#db.pool.query(
      `INSERT INTO placements (deployment, device_id, variant, artifact, runtime, state, reason, measured, passed_over)
       SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE EXISTS (SELECT 1 FROM deployments WHERE name = $1)
       ON CONFLICT (deployment, device_id) DO UPDATE SET variant = $3, artifact = $4, runtime = $5, state = $6, reason = $7,
         measured = coalesce($8, placements.measured), passed_over = $9, updated_at = now()`,
      [
        write.deployment,
        write.deviceId,
        write.variant,
        write.artifact,
        write.runtime,
        write.state,
        write.reason,
        write.measured === undefined ? null : JSON.stringify(write.measured),
        write.passedOver === undefined || write.passedOver.length === 0 ? null : JSON.stringify(write.passedOver)
      ]
    )
  }

  /** A device's report about one artifact; false when the placement has moved on to another one. */
  async reportPlacement(
    deployment: string,
    deviceId: string,
    artifact: string,
    state: PlacementState,
    reason: string | undefined
  ): Promise<boolean> {
    const { rowCount } = await this.#db.pool.query(
      `UPDATE placements SET state = $4, reason = $5, updated_at = now()
       WHERE deployment = $1 AND device_id = $2 AND artifact = $3`,
      [deployment, deviceId, artifact, state, reason ?? null]
    )
    return rowCount === 1
  }

  async removePlacement(deployment: string, deviceId: string): Promise<void> {
    await this.#db.prisma.placement.deleteMany({ where: { deploymentName: deployment, deviceId } })
  }
}
