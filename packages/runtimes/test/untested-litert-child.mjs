/*
 * LiteRT's process without its self-test, as if the fault were in kernels that our own small models do not meet. Started
 * by `launcher`, as the Node that the usual script and the library's path, the last arguments, are given to.
 */
import { createLiteRtBackend } from '../dist/litert-backend.js'
import { exitWithoutDestructors, serveBackend } from '../dist/serve-backend.js'

try {
  await serveBackend({ ...createLiteRtBackend(process.argv.at(-1) ?? ''), dtypes: [] })
} catch (error) {
  console.error(error)
  exitWithoutDestructors(1)
}
