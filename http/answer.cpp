#include "http/answer.hpp"

namespace muxsocks::http {

std::string_view reason(unsigned status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 407:
        return "Proxy Authentication Required";
    case 421:
        return "Misdirected Request";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

std::string write(const own_answer& answer) {
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) + ' ';
    text += reason(answer.status);
    text += "\r\n";
    text += answer.fields;
    text += "Content-Type: ";
    text += answer.content_type;
    text += "\r\nContent-Length: " + std::to_string(answer.body.size());
    text += answer.close ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n";
    if (!answer.without_body) text += answer.body;
    return text;
}

} // namespace muxsocks::http
