import { SkerryError } from '@skerry/contracts'
import type { Engine } from '@skerry/engine'
import type { FastifyInstance } from 'fastify'

export default async function health(app: FastifyInstance, { engine }: { engine: Engine }): Promise<void> {
  const { registry, queue, metrics } = engine.resources

  app.get(
    '/healthz',
    { config: { public: true }, schema: { summary: 'The process runs', tags: ['health'] } },
    async () => ({
      status: 'ok'
    })
  )

  app.get('/readyz', { schema: { summary: 'Postgres and Valkey answer', tags: ['health'] } }, async () => {
    const late = new Promise<never>((_, reject) =>
      setTimeout(() => reject(new Error('no answer in 2 s')), 2_000).unref()
    )
    const check = async (name: string, ping: Promise<void>) =>
      Promise.race([ping, late]).catch((cause) => {
        throw new SkerryError('unavailable', `${name} does not answer: ${cause.message}`)
      })
    await Promise.all([check('Postgres', registry.ping()), check('Valkey', queue.ping())])
    const { id, isScheduling, schedulerId } = engine.cluster
    return { status: 'ready', replica: id, role: isScheduling ? 'scheduler' : 'standby', scheduler: schedulerId }
  })

  app.get('/metrics', { schema: { summary: 'Prometheus', tags: ['health'] } }, async (_, reply) =>
    reply.header('content-type', metrics.contentType).send(await metrics.render())
  )
}
