/* Entry of the process that holds tfjs-tflite-node alone. */
import { exitWithoutDestructors, serveBackend } from './serve-backend.ts'
import { createTfjsTfliteNodeBackend } from './tfjs-tflite-node-backend.ts'

try {
  await serveBackend(createTfjsTfliteNodeBackend())
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  exitWithoutDestructors(1)
}
