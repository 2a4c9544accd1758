#include <errno.h>

#include "node/transport/link.h"

const char *link_refusal_words(enum link_refusal refusal)
{
    switch (refusal) {
    case LINK_ACCEPTED:
        return "accepted";
    case LINK_REFUSED_VERSION:
        return "it speaks another version of the protocol";
    case LINK_REFUSED_HANDSHAKE:
        return "the handshake failed (another peer's key, or not Consort's protocol)";
    case LINK_REFUSED_TOKEN:
        return "the join token is unknown, used up, expired or revoked";
    case LINK_REFUSED_FOREIGN:
        return "the certificate is of another cluster";
    case LINK_REFUSED_CERTIFICATE:
        return "there is no certificate that holds";
    case LINK_REFUSED_KEY:
        return "the certificate is for another key";
    case LINK_REFUSED_ROLE:
        return "the certificate is not a peer's";
    case LINK_REFUSED_REVOKED:
        return "the certificate was revoked";
    case LINK_REFUSED_UNKNOWN:
        return "the key was never admitted";
    case LINK_REFUSED_SELF:
        return "it is this peer itself";
    }
    return "for a reason that this version does not know";
}

int link_refusal_errno(enum link_refusal refusal)
{
    switch (refusal) {
    case LINK_ACCEPTED:
        return 0;
    case LINK_REFUSED_VERSION:
        return -EPROTONOSUPPORT;
    case LINK_REFUSED_HANDSHAKE:
        return -EPROTO;
    case LINK_REFUSED_TOKEN:
    case LINK_REFUSED_FOREIGN:
    case LINK_REFUSED_CERTIFICATE:
    case LINK_REFUSED_KEY:
        return -EKEYREJECTED;
    case LINK_REFUSED_REVOKED:
        return -EKEYREVOKED;
    case LINK_REFUSED_SELF:
        return -ELOOP;
    case LINK_REFUSED_ROLE:
    case LINK_REFUSED_UNKNOWN:
        break;
    }
    return -EACCES;
}
