import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { PrismaClient } from './generated/client.ts'

export type Connection = { prisma: PrismaClient; pool: pg.Pool; close(): Promise<void> }

export type ConnectionOptions = {
  databaseUrl: string
  poolSize?: number
  /** Told of errors on idle connections (the server went away); the next query meets the error itself. */
  onIdleError?: (error: Error) => void
}

/** One pool for Prisma and for the hot statements in raw SQL, so that connections are counted once. */
export function openConnection(options: ConnectionOptions): Connection {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: options.poolSize ?? 12,
    idleTimeoutMillis: 30_000,
    connectionTimeoutMillis: 10_000,
    application_name: 'skerry'
  })
  pool.on('error', (error) => options.onIdleError?.(error))
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: false }) })
  return {
    prisma,
    pool,
    async close() {
      await prisma.$disconnect()
      await pool.end()
    }
  }
}
