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

const toTerms = (row: DeploymentModel): DeploymentTerms => ({
  name: row.name,
  model: row.modelName,
  version: row.version,
  variants: row.variants as Deployment['variants'],
  selector: row.selector as Labels,
  requirements: row.requirements as Requirements,
  allowUnproven: row.allowUnproven,
  phase: row.phase as DeploymentPhase,
  createdAt: row.createdAt.toISOString()
})

const toDeployment = (row: DeploymentModel & { placements: PlacementRow[] }): Deployment => ({
  ...toTerms(row),
  devices: row.placements.map(toPlacement)
})

const include = {
  placements: { include: { device: { select: { name: true } } }, orderBy: { deviceId: 'asc' as const } }
}

/** A deployment without its placements, which may be as many as there are devices. */
export type DeploymentTerms = Omit<Deployment, 'devices'>

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

  /** Of all of them, or of those with these names; the oldest first. */
  async terms(names?: readonly string[]): Promise<DeploymentTerms[]> {
    const where = names === undefined ? {} : { name: { in: [...names] } }
    return (await this.#db.prisma.deployment.findMany({ where, orderBy: { createdAt: 'asc' } })).map(toTerms)
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
}
