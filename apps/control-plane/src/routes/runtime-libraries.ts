import { Page, RuntimeLibraryOffer } from '@skerry/contracts'
import { type App, problems, type RouteOptions } from './types.ts'

export default async function runtimeLibraries(app: App, { engine }: RouteOptions): Promise<void> {
  app.get(
    '/runtime-libraries',
    {
      config: { devices: true },
      schema: {
        tags: ['devices'],
        summary: "Runtimes' native libraries for devices, each a blob with a signed statement",
        response: { 200: Page(RuntimeLibraryOffer), ...problems }
      }
    },
    async () => ({ items: engine.runtimeLibraries.list() })
  )
}
