/** Something that set-up needs and did not find: its message is one line that says what, and how to get it. */
export class SetupError extends Error {
  code = 'setup-failed'
}
