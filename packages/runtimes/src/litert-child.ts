/* Entry of the process that holds LiteRT alone. Argument: path of the library. */
import { createLiteRtBackend } from './litert-backend.ts'
import { exitWithoutDestructors, serveBackend } from './serve-backend.ts'

try {
  await serveBackend(createLiteRtBackend(process.argv[2] ?? ''))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  exitWithoutDestructors(1)
}
