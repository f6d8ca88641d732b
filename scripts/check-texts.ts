// Checks the texts of mails and pages as the program does when it starts: node scripts/check-texts.ts [DIR]. Exits 1
// with a line for each problem.
import { locales } from '../src/domain/locale.ts'
import { loadTexts } from '../src/texts/load-texts.ts'
import { TextsError } from '../src/texts/texts-error.ts'

try {
  loadTexts(process.argv[2])
  console.log(`the texts in ${locales.length} languages are complete`)
} catch (error) {
  if (!(error instanceof TextsError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
