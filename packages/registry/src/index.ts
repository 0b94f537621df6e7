import { AccessRegistry } from './access.ts'
import { type Connection, type ConnectionOptions, openConnection } from './connection.ts'
import { DeploymentRegistry } from './deployments.ts'
import { DeviceConfigRegistry } from './device-configs.ts'
import { DeviceSessions } from './device-sessions.ts'
import { DeviceRegistry } from './devices.ts'
import { DiagnosticsRegistry } from './diagnostics.ts'
import { IdempotencyRegistry } from './idempotency.ts'
import { KnownConversions } from './known-conversions.ts'
import { MeasurementRegistry } from './measurements.ts'
import { ModelRegistry } from './models.ts'
import { PlacementRegistry } from './placements.ts'
import { PlanReads } from './plan-reads.ts'
import { ReplicaRegistry } from './replicas.ts'

export type { ApiKeyIdentity } from './access.ts'
export { type BenchmarkJob, benchmarkJobs } from './benchmark-jobs.ts'
export * from './call-records.ts'
export type { DeploymentTerms } from './deployments.ts'
export type { DeviceRecord } from './device-record.ts'
export type { OpenedSession, Opening } from './device-sessions.ts'
export type { DeviceStanding, NewDevice } from './devices.ts'
export type { StoredAnswer } from './idempotency.ts'
export { isUuid, newId, newSecret } from './ids.ts'
export * from './job-record.ts'
export * from './jobs-adopt.ts'
export * from './jobs-claim.ts'
export * from './jobs-end.ts'
export * from './jobs-read.ts'
export * from './jobs-submit.ts'
export * from './jobs-sweep.ts'
export type { KnownConversion } from './known-conversions.ts'
export type { LatencySeries, MeasuredPair } from './measurements.ts'
export type { NewVariant, NewVersion } from './models.ts'
export type { PageOf } from './paging.ts'
export type { DesiredPlacement, KnownPlacement, PlacementReport, PlacementWrite } from './placements.ts'
export type { ArtifactEstimate, KindBenchmark, PairBenchmark, PairLatency, PlannableDevice } from './plan-reads.ts'
export { type Fence, REPLICA_STALE_MS } from './replicas.ts'

/** Everything that Postgres holds. Job statements are functions on `pool`. */
export type Registry = {
  pool: Connection['pool']
  access: AccessRegistry
  devices: DeviceRegistry
  deviceSessions: DeviceSessions
  deviceConfigs: DeviceConfigRegistry
  diagnostics: DiagnosticsRegistry
  models: ModelRegistry
  knownConversions: KnownConversions
  deployments: DeploymentRegistry
  placements: PlacementRegistry
  measurements: MeasurementRegistry
  planReads: PlanReads
  idempotency: IdempotencyRegistry
  replicas: ReplicaRegistry
  ping(): Promise<void>
  close(): Promise<void>
}

export function openRegistry(options: ConnectionOptions): Registry {
  const db = openConnection(options)
  return {
    pool: db.pool,
    access: new AccessRegistry(db),
    devices: new DeviceRegistry(db),
    deviceSessions: new DeviceSessions(db),
    deviceConfigs: new DeviceConfigRegistry(db),
    diagnostics: new DiagnosticsRegistry(db),
    models: new ModelRegistry(db),
    knownConversions: new KnownConversions(db),
    deployments: new DeploymentRegistry(db),
    placements: new PlacementRegistry(db),
    measurements: new MeasurementRegistry(db),
    planReads: new PlanReads(db),
    idempotency: new IdempotencyRegistry(db),
    replicas: new ReplicaRegistry(db),
    async ping() {
      await db.pool.query('SELECT 1')
    },
    close: () => db.close()
  }
}
