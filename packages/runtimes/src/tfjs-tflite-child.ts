/* Entry of the process that holds @tensorflow/tfjs-tflite alone. */
import { exitWithoutDestructors, serveBackend } from './serve-backend.ts'
import { createTfjsTfliteBackend } from './tfjs-tflite-backend.ts'

try {
  await serveBackend(createTfjsTfliteBackend())
} catch (error) {
  console.error(error)
  exitWithoutDestructors(1)
}
