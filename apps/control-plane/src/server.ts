import path from 'node:path'
import closeWithGrace from 'close-with-grace'
import { pino } from 'pino'
import { readConfig } from './config.ts'
import { startControlPlane } from './control-plane.ts'

const migrationsDir = path.resolve(import.meta.dirname, '../../../prisma/migrations')

try {
  const config = readConfig(process.env)
  const logger = pino({ level: config.logLevel })
  const controlPlane = await startControlPlane(config, { migrationsDir, logger })
  closeWithGrace({ delay: 15_000, logger }, async ({ err }) => {
    if (err !== undefined) logger.fatal({ err }, 'stopping after an error that nobody caught')
    await controlPlane.stop()
  })
  logger.info({ url: controlPlane.url, adminKeyFile: controlPlane.adminKeyFile }, 'control plane ready')
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException
  console.error(code === 'EADDRINUSE' ? `${message}: set SKERRY_HTTP_PORT to a free port` : message)
  process.exit(1)
}
