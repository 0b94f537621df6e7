import { Plan, PlanRequest } from '@skerry/contracts'
import { type App, problems, type RouteOptions } from './types.ts'

export default async function plans(app: App, { engine }: RouteOptions): Promise<void> {
  app.post(
    '/plans',
    {
      schema: {
        tags: ['plans'],
        summary: 'Which of these models and variants would run where, how fast, or why not; nothing moves',
        description:
          'Per device, the most accurate proven variant that meets the requirements there; ties go to the lower p50. ' +
          'A latency that was never measured is predicted, and held against the requirement with its uncertainty.',
        body: PlanRequest,
        response: { 200: Plan, ...problems }
      }
    },
    (request) => engine.plans.plan(request.body)
  )
}
