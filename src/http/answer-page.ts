// Sends a page with its status, in the language of the consent or of the browser. The wording is in pages/.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { NoticeName } from '../texts/catalogue.ts'
import { chooseLocale } from './pages/locale.ts'
import { noticePage, noticeStatus } from './pages/notice-page.ts'
import type { NoticeViews } from './pages/notice-page.ts'

export const HTML = 'text/html; charset=utf-8'

/** The language of the consent that the page is about, else the browser's language. */
export const localeFor = (request: FastifyRequest, consent?: { readonly locale: string | undefined }): string =>
  chooseLocale({ consent: consent?.locale, acceptLanguage: request.headers['accept-language'] })

export const answerPage = <Name extends NoticeName>(
  reply: FastifyReply,
  name: Name,
  view: NoticeViews[Name],
  status = noticeStatus[name],
): FastifyReply => reply.code(status).type(HTML).send(noticePage(name, view))

/** Sends a page that names no user, company or bank. */
export const answerPlainPage = (
  request: FastifyRequest,
  reply: FastifyReply,
  name: 'unknown-link' | 'not-found' | 'bad-request' | 'too-many' | 'internal',
): FastifyReply => answerPage(reply, name, { locale: localeFor(request) })
