import {
  type ConversionResult,
  type Manifest,
  type Model,
  SkerryError,
  type SourceFormat,
  type TensorDescription,
  type Variant,
  type Version
} from '@skerry/contracts'
import type { Connection } from './connection.ts'
import { Prisma } from './generated/client.ts'
import type { ModelVersionModel, VariantModel } from './generated/models.ts'
import { decodePageToken, type PageOf, toPage } from './paging.ts'

export type NewVersion = {
  model: string
  version: string
  format: SourceFormat
  sourceSha256: string
  sourceBytes: number
}
export type NewVariant = Omit<Variant, 'createdAt'> & { model: string; version: string; jobId: string }

const optional = <K extends string, T>(key: K, value: T | null | undefined): { [key in K]?: T } =>
  (value === null || value === undefined ? {} : { [key]: value }) as { [key in K]?: T }

const toVersion = (row: ModelVersionModel): Version => ({
  model: row.modelName,
  version: row.version,
  format: row.format as SourceFormat,
  sourceSha256: row.sourceSha256,
  sourceBytes: Number(row.sourceBytes),
  ...optional('inputs', row.inputs as TensorDescription[] | null),
  ...optional('outputs', row.outputs as TensorDescription[] | null),
  ...optional('signatures', row.signatures as NonNullable<Version['signatures']> | null),
  createdAt: row.createdAt.toISOString()
})

const toVariant = (row: VariantModel): Variant => ({
  variant: row.variant,
  recipe: row.recipe,
  state: row.state as Variant['state'],
  ...optional('reason', row.reason),
  ...optional('sha256', row.sha256),
  ...optional('bytes', row.bytes === null ? null : Number(row.bytes)),
  ...optional('inputs', row.inputs as NonNullable<Variant['inputs']> | null),
  ...optional('outputs', row.outputs as NonNullable<Variant['outputs']> | null),
  ...optional('operators', row.operators as NonNullable<Variant['operators']> | null),
  ...optional('parity', row.parity as NonNullable<Variant['parity']> | null),
  ...optional('runtimes', row.runtimes as NonNullable<Variant['runtimes']> | null),
  ...optional('converter', row.converter as NonNullable<Variant['converter']> | null),
  ...optional('manifest', row.manifest as Manifest | null),
  ...optional('signature', row.signature),
  ...optional('details', row.details as NonNullable<Variant['details']> | null),
  createdAt: row.createdAt.toISOString()
})

const json = (value: unknown): Prisma.InputJsonValue | typeof Prisma.DbNull =>
  value === undefined ? Prisma.DbNull : (value as Prisma.InputJsonValue)

export class ModelRegistry {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  /** A version's source never changes: the same bytes again are the same version, other bytes are refused. */
  async createVersion(version: NewVersion): Promise<Version> {
    await this.#db.pool.query('INSERT INTO models (name) VALUES ($1) ON CONFLICT DO NOTHING', [version.model])
    await this.#db.pool.query(
      `INSERT INTO model_versions (model, version, format, source_sha256, source_bytes) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT DO NOTHING`,
      [version.model, version.version, version.format, version.sourceSha256, version.sourceBytes]
    )
    await this.refuseOtherSource(version.model, version.version, version)
    return this.getVersion(version.model, version.version)
  }

  /** Throws `version-exists` when this version has another source already. */
  async refuseOtherSource(
    model: string,
    version: string,
    source: Pick<NewVersion, 'format' | 'sourceSha256'>
  ): Promise<void> {
    const stored = await this.#db.prisma.modelVersion.findUnique({
      where: { modelName_version: { modelName: model, version } }
    })
    if (stored === null || (stored.sourceSha256 === source.sourceSha256 && stored.format === source.format)) return
    throw new SkerryError(
      'version-exists',
      `Version ${version} of ${model} is ${stored.format} ${stored.sourceSha256}: upload under another version`
    )
  }

  async getVersion(model: string, version: string): Promise<Version> {
    const row = await this.#db.prisma.modelVersion.findUnique({
      where: { modelName_version: { modelName: model, version } }
    })
    if (row !== null) return toVersion(row)
    await this.getModel(model)
    throw new SkerryError('version-unknown', `Model ${model} has no version ${version}`)
  }

  async getModel(name: string): Promise<Model> {
    const row = await this.#db.prisma.model.findUnique({
      where: { name },
      include: { versions: { orderBy: { createdAt: 'asc' } } }
    })
    if (row === null) throw new SkerryError('model-unknown', `No model is named ${name}`)
    return { name: row.name, versions: row.versions.map(toVersion), createdAt: row.createdAt.toISOString() }
  }

  async list(limit: number, pageToken: string | undefined): Promise<PageOf<Model>> {
    const after = decodePageToken(pageToken)
    const rows = await this.#db.prisma.model.findMany({
      where: after === undefined ? {} : { name: { gt: after } },
      include: { versions: { orderBy: { createdAt: 'asc' } } },
      orderBy: { name: 'asc' },
      take: limit + 1
    })
    return toPage(
      rows,
      limit,
      (row) => row.name,
      (row) => ({ name: row.name, versions: row.versions.map(toVersion), createdAt: row.createdAt.toISOString() })
    )
  }

  async variants(model: string, version: string): Promise<Variant[]> {
    const rows = await this.#db.prisma.variant.findMany({
      where: { modelName: model, version },
      orderBy: { variant: 'asc' }
    })
    return rows.map(toVariant)
  }

  /** By `MODEL VERSION`; in the order of their names. */
  async variantsOf(versions: readonly { model: string; version: string }[]): Promise<Map<string, Variant[]>> {
    const rows = await this.#db.prisma.variant.findMany({
      where: { OR: versions.map(({ model, version }) => ({ modelName: model, version })) },
      orderBy: { variant: 'asc' }
    })
    const variants = new Map<string, Variant[]>()
    for (const row of rows) {
      const key = `${row.modelName} ${row.version}`
      variants.set(key, [...(variants.get(key) ?? []), toVariant(row)])
    }
    return variants
  }

  async variant(model: string, version: string, variant: string): Promise<Variant> {
    const row = await this.#db.prisma.variant.findUnique({
      where: { modelName_version_variant: { modelName: model, version, variant } }
    })
    if (row === null) throw new SkerryError('variant-unknown', `${model} ${version} has no variant ${variant}`)
    return toVariant(row)
  }

  /**
   * What a device runs under this deployment. The same artifact may be a variant of several models; where the deployment
   * is gone, the newest of them speaks for it.
   */
  async servedVariant(deployment: string, sha256: string): Promise<{ model: string; variant: string } | null> {
    const { rows } = await this.#db.pool.query<{ model: string; variant: string }>(
      `SELECT v.model, v.variant FROM variants v
       LEFT JOIN deployments d ON d.name = $1 AND d.model = v.model AND d.version = v.version
       WHERE v.sha256 = $2 ORDER BY d.name IS NULL, v.created_at DESC LIMIT 1`,
      [deployment, sha256]
    )
    return rows[0] ?? null
  }

  /** Stores what a conversion found, all of it or nothing. */
  async storeConversion(
    model: string,
    version: string,
    result: Pick<ConversionResult, 'inputs' | 'outputs' | 'signature'>,
    variants: NewVariant[]
  ): Promise<void> {
    await this.#db.prisma.$transaction([
      this.#db.prisma.modelVersion.update({
        where: { modelName_version: { modelName: model, version } },
        data: {
          inputs: result.inputs,
          outputs: result.outputs,
          signatures: [
            {
              key: result.signature ?? 'serving_default',
              inputs: result.inputs.map((i) => i.name),
              outputs: result.outputs.map((o) => o.name)
            }
          ]
        }
      }),
      ...variants.map((variant) => {
        const data = {
          recipe: variant.recipe,
          state: variant.state,
          reason: variant.reason ?? null,
          sha256: variant.sha256 ?? null,
          bytes: variant.bytes ?? null,
          inputs: json(variant.inputs),
          outputs: json(variant.outputs),
          operators: json(variant.operators),
          parity: json(variant.parity),
          runtimes: json(variant.runtimes),
          converter: json(variant.converter),
          manifest: json(variant.manifest),
          signature: variant.signature ?? null,
          details: json(variant.details),
          jobId: variant.jobId,
          createdAt: new Date()
        }
        return this.#db.prisma.variant.upsert({
          where: { modelName_version_variant: { modelName: model, version, variant: variant.variant } },
          create: { modelName: model, version, variant: variant.variant, ...data },
          update: data
        })
      })
    ])
  }
}
