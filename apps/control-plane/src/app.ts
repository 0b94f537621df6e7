import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { Engine } from '@skerry/engine'
import fastify, { type FastifyBaseLogger, LogController } from 'fastify'
import enrol from './agent/enrol.ts'
import rotateKey from './agent/rotate-key.ts'
import agentSocket from './agent/socket.ts'
import access from './plugins/access.ts'
import openapi from './plugins/openapi.ts'
import problems from './plugins/problems.ts'
import validation from './plugins/validation.ts'
import deployments from './routes/deployments.ts'
import deviceConfig from './routes/device-config.ts'
import deviceDiagnostics from './routes/device-diagnostics.ts'
import deviceKeys from './routes/device-keys.ts'
import devices from './routes/devices.ts'
import health from './routes/health.ts'
import jobs from './routes/jobs.ts'
import joinTokens from './routes/join-tokens.ts'
import models from './routes/models.ts'
import openInference from './routes/open-inference.ts'
import plans from './routes/plans.ts'
import runtimeLibraries from './routes/runtime-libraries.ts'
import type { App } from './routes/types.ts'
import uploads from './routes/uploads.ts'

export const VERSION = '0.1.0'

/** The HTTP application over an engine; whoever calls this listens, or injects requests. */
export async function buildApp(
  engine: Engine,
  logger: FastifyBaseLogger,
  options: { publicUrl?: string } = {}
): Promise<App> {
  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 1024 ** 2,
    requestTimeout: 0,
    routerOptions: { maxParamLength: 200 },
    forceCloseConnections: true
  }).withTypeProvider<TypeBoxTypeProvider>()
  await app.register(validation)
  await app.register(problems)
  await app.register(access, { registry: engine.resources.registry })
  await app.register(openapi, { version: VERSION })
  await app.register(agentSocket, { engine })
  await app.register(health, { engine })
  await app.register(enrol, { engine })
  await app.register(rotateKey, { engine })
  await app.register(deviceKeys, { engine, prefix: '/api/v1' })
  await app.register(joinTokens, { engine, ...options, prefix: '/api/v1' })
  for (const routes of [
    devices,
    deviceConfig,
    deviceDiagnostics,
    runtimeLibraries,
    models,
    uploads,
    plans,
    deployments,
    jobs
  ])
    await app.register(routes, { engine, prefix: '/api/v1' })
  await app.register(openInference, { engine, version: VERSION })
  return app
}
