import { openBlobStore } from '@skerry/blobs'
import { applyMigrations } from '@skerry/embedded'
import { type ClusterMessage, Engine } from '@skerry/engine'
import { JobQueue, ReplicaBus } from '@skerry/queue'
import { newId, openRegistry } from '@skerry/registry'
import { createMetrics } from '@skerry/telemetry'
import { type Logger, pino } from 'pino'
import { ensureAdminKey } from './admin-key.ts'
import { buildApp } from './app.ts'
import type { ControlPlaneConfig, LibraryFile } from './config.ts'
import { describeLibrary } from './native-library.ts'
import { runtimeSupport } from './runtime-support.ts'

/** Connections that wait to be accepted: a fleet comes back in one moment, and what is dropped tries again seconds later. */
const BACKLOG = 16_384

export type ControlPlane = { url: string; adminKeyFile: string; stop(): Promise<void> }

/** Brings the schema up to date, opens everything, starts the engine, listens. */
export async function startControlPlane(
  config: ControlPlaneConfig,
  options: { migrationsDir: string; logger?: Logger }
): Promise<ControlPlane> {
  const log = options.logger ?? pino({ level: config.logLevel })
  await applyMigrations(config.databaseUrl, options.migrationsDir, { log: (line) => log.info(line) })
  const onIdleError = (error: Error) => log.warn({ err: error }, 'a connection was lost')
  const registry = openRegistry({ databaseUrl: config.databaseUrl, onIdleError })
  const queue = new JobQueue({ redisUrl: config.redisUrl, onError: onIdleError })
  const bus = new ReplicaBus<ClusterMessage>({ redisUrl: config.redisUrl, id: newId(), onError: onIdleError })
  const adminKeyFile = await ensureAdminKey(config.dataDir, registry)
  const resources = {
    registry,
    queue,
    bus,
    blobs: openBlobStore(config.blobUrl),
    metrics: createMetrics(),
    log,
    nowMs: () => performance.timeOrigin + performance.now()
  }
  const engine = await Engine.open(resources, runtimeSupport, config.scheduling)
  await offerLibraries(engine, config.liteRtLibraries ?? [], log)
  const app = await buildApp(engine, log, config.publicUrl === undefined ? {} : { publicUrl: config.publicUrl })
  await engine.start()
  const url = await app.listen({ host: config.host, port: config.port, backlog: BACKLOG })
  return {
    url,
    adminKeyFile,
    async stop() {
      // Another replica schedules from here on, also what this one's devices still say.
      await engine.standDown()
      await app.close()
      await engine.stop()
      await queue.close()
      await registry.close()
    }
  }
}

/** What cannot be offered costs its devices speed, and nobody the control plane. */
async function offerLibraries(engine: Engine, files: LibraryFile[], log: Logger): Promise<void> {
  for (const { version, path } of files) {
    try {
      const { library, bytes } = await describeLibrary(path, version)
      await engine.runtimeLibraries.add(library, bytes)
      log.info({ library }, 'a LiteRT library is offered to devices')
    } catch (error) {
      log.warn({ err: error, path }, 'a LiteRT library cannot be offered to devices')
    }
  }
}
