package identity

import "strings"

// maxWords is the number of words of a fingerprint: 128 bits.
const maxWords = 16

// FingerprintWords returns the first 16 bytes of a fingerprint as easy words,
// one for each byte, for two people who compare them aloud.
func FingerprintWords(fingerprint []byte) string {
	list := strings.Fields(wordList)
	var said []string
	for _, b := range fingerprint[:min(len(fingerprint), maxWords)] {
		said = append(said, list[b])
	}
	return strings.Join(said, " ")
}

// wordList holds 256 words, no two alike in writing or easily mistaken by ear.
// Their order must never change: that would change every fingerprint in words.
const wordList = `
acid acorn actor adult agent album alarm alley amber anchor angel ankle apple april apron arena
arrow atlas attic badge baker bamboo banjo barrel basket beach beard bench bicycle bishop blanket bottle
branch bread bridge brush bucket butter button cabin cactus camel candle canoe carpet castle cedar cello
cherry circle clock cloud coffee comet copper coral cotton cousin crayon cricket crystal curtain cushion daisy
dancer desert diamond dinner doctor dolphin donkey dragon drum eagle earth elbow elephant engine envelope fabric
falcon family farmer feather fiddle finger flame flute forest fountain fox frog galaxy garden garlic giant
ginger giraffe glove goat golden gorilla grape guitar hammer harvest hazel helmet hero hockey honey hotel
hunter iceberg igloo indigo insect iron island ivory jacket jaguar jasmine jelly jewel jigsaw jungle kangaroo
kayak kettle kitchen kiwi koala ladder lagoon lantern laser lemon leopard library lion lizard lobster lotus
lumber magnet mango maple marble market melon meteor mirror monkey moon mosaic muffin museum mushroom napkin
needle nickel noodle north nurse oasis ocean octopus olive onion opera orange orbit orchid otter oven
oyster paddle palace panda paper parrot peach peanut pebble pelican pencil pepper piano picnic pigeon pilot
pirate planet pocket poem polar pony potato powder prince pumpkin puppet purple puzzle pyramid quarry queen
rabbit radio rainbow raven ribbon river robot rocket saddle salmon sandal saturn sausage school scissors shadow
shovel silver singer spider spoon squirrel statue stone sugar summer sunset swallow table tango temple tennis
thunder tiger tomato tower tractor tulip tunnel turtle umbrella valley velvet violin walnut whale window zebra
`
